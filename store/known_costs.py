"""Costs of architectures that are stored without them, as earlier versions did, by the closed forms of families."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import duckdb
import pyarrow as pa

from store.costs import Costs, CostsOf, Image
from store.families import FAMILIES
from store.tables import KEYS, SCHEMAS

KEY = KEYS["costs"]


def complete(connection: duckdb.DuckDBPyConnection, runs: str = "runs") -> int:
    """Add the costs of every architecture among these runs that has none; return how many were added.

    `runs` names a relation with the columns of the table. Architectures of families without closed forms, and those
    whose protocol says nothing that makes a network, are left out. Inside the caller's transaction.
    """
    key = ", ".join(f"r.{name}" for name in KEY)
    same = " AND ".join(f"c.{name} = r.{name}" for name in KEY)
    lacking = connection.execute(
        f"SELECT DISTINCT {key}, p.spec::VARCHAR, d.height, d.width, d.channels, d.classes FROM {runs} r"
        " JOIN protocols p ON p.protocol_id = r.protocol_id"
        " JOIN datasets d ON d.dataset_fingerprint = r.dataset_fingerprint"
        f" WHERE NOT EXISTS (SELECT 1 FROM costs c WHERE {same})"
    ).fetchall()
    rows = []
    for protocol, fingerprint, family, sizes, spec, *image in lacking:
        known = FAMILIES[family].costs if family in FAMILIES else None
        found = None if known is None else _costs(known, tuple(sizes), Image(*image), spec)
        if found is not None:
            rows.append(dict(zip(KEY, (protocol, fingerprint, family, sizes), strict=True)) | asdict(found))
    if rows:
        connection.register("known_costs", pa.Table.from_pylist(rows, schema=SCHEMAS["costs"]))
        connection.execute("INSERT INTO costs BY NAME FROM known_costs")
    return len(rows)


def _costs(known: CostsOf, sizes: tuple[int, ...], image: Image, text: str) -> Costs | None:
    try:
        spec: Any = json.loads(text)
        return known(sizes, image, spec if isinstance(spec, Mapping) else {})
    except (ValueError, TypeError, ArithmeticError):
        return None
