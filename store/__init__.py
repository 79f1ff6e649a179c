"""The results store: one DuckDB file of tidy tables.

Public names: `store.results.Store` (which imports duckdb and polars, so that nothing here imports it), the rows of
`store.records`, `store.errors.MinarchError` and `store.console.run`.
"""
