"""Statistics of a results store, as thin in Python as on the command line.

`from analyze import regimes; regimes("results.duckdb").frame()`. Names load on first use: importing this package
costs nothing. They are listed once, in `__init__.pyi`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
