"""The results store: one DuckDB file of tidy tables.

`Store` and `MinarchError` load on first use, since the first imports duckdb and polars. Public too: the rows of
`store.records` and `store.console.run`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
