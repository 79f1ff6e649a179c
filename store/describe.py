"""What `store info` prints."""

from __future__ import annotations

import dataclasses
import json
import sys

import polars as pl

from store.display import print_frame
from store.results import Group, Info


def show(info: Info, form: str) -> None:
    """Print what a store holds, as a table or as JSON."""
    if form == "json":
        print(json.dumps(dataclasses.asdict(info), indent=2))
        return
    print(f"{info.path}: {info.size / 1e6:.1f} MB, schema version {info.schema_version}")
    print(f"{info.protocols} protocols, {info.invocations} calls of generate")
    if info.groups:
        names = [field.name for field in dataclasses.fields(Group)]
        rows = [dataclasses.astuple(group) for group in info.groups]
        print_frame(pl.DataFrame(rows, schema=names, orient="row"), sys.stdout)
    else:
        print("no runs yet")
    if info.waiting:
        print(f"{info.waiting} finished units wait in the spool: `store ingest` takes them in")
    if info.damaged:
        print(f"{info.damaged} damaged units were set aside in the spool; their runs will be trained again")
