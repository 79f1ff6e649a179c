"""The schema section of docs/store.md, from the comments in the database itself.

`python -m tests.store.schema_markdown` writes it into the page; a test fails while the page says something else.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from store import migrations
from store.tables import TABLES

PAGE = Path(__file__).parents[2] / "docs" / "store.md"
BEGIN, END = "<!-- schema: begin -->\n", "<!-- schema: end -->\n"


def render() -> str:
    """Return the schema as Markdown: tables with their columns, then views."""
    with duckdb.connect() as connection:
        migrations.apply(connection)
        tables = dict(connection.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall())
        views = connection.execute(
            "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY view_name"
        ).fetchall()
        columns = connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable, comment"
            " FROM duckdb_columns() ORDER BY column_index"
        ).fetchall()
    parts = []
    for table in (*TABLES, "migrations"):
        parts.append(f"### `{table}`\n\n{tables[table]}.\n\n| column | type | meaning |\n|---|---|---|\n")
        parts += [
            f"| `{name}` | {kind}{', may be NULL' if nullable else ''} | {comment} |\n"
            for of, name, kind, nullable, comment in columns
            if of == table
        ]
        parts.append("\n")
    parts.append("### Views\n\n| view | meaning | columns |\n|---|---|---|\n")
    for view, comment in views:
        names = ", ".join(f"`{name}`" for of, name, *_ in columns if of == view)
        parts.append(f"| `{view}` | {comment} | {names} |\n")
    return "".join(parts)


def split(page: str) -> tuple[str, str, str]:
    """Return what stands before, in and after the page's schema section."""
    before, rest = page.split(BEGIN)
    section, after = rest.split(END)
    return before + BEGIN, section, END + after


if __name__ == "__main__":
    before, _, after = split(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(before + render() + after, encoding="utf-8")
