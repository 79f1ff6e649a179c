"""What `store info` prints."""

from __future__ import annotations

import dataclasses
import json
import sys

import polars as pl

from store.display import print_frame
from store.results import Group, Info
from store.words import counted


def show(info: Info, form: str) -> None:
    """Print what a store holds, as a table or as JSON."""
    if form == "json":
        print(json.dumps(dataclasses.asdict(info), indent=2))
        return
    print(f"{info.path}: {info.size / 1e6:.1f} MB, schema version {info.schema_version}")
    print(f"{counted(info.protocols, 'protocol')}, {counted(info.invocations, 'call')} of generate")
    if info.groups:
        names = [field.name for field in dataclasses.fields(Group)]
        rows = [dataclasses.astuple(group) for group in info.groups]
        print_frame(pl.DataFrame(rows, schema=names, orient="row"), sys.stdout)
    else:
        print("no runs yet")
    if info.waiting:
        units = counted(info.waiting, "finished unit", one="waits", many="wait")
        print(f"{units} in the spool: `store ingest` takes in what waits")
    if info.damaged:
        units = counted(info.damaged, "damaged unit", one="was", many="were")
        print(f"{units} set aside in the spool; the runs will be trained again")
