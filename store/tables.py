"""The store's tables as Python sees them: names, row classes, keys and Arrow types, all read off `Records`."""

from __future__ import annotations

import dataclasses
import types
import typing
from datetime import datetime

import pyarrow as pa

from store.records import Records

ARROW: dict[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us"),
    tuple[int, ...]: pa.list_(pa.int32()),
}

# No two rows of a table may agree on these columns.
KEYS: dict[str, tuple[str, ...]] = {
    "protocols": ("protocol_id",),
    "datasets": ("dataset_fingerprint",),
    "invocations": ("invocation_id",),
    "runs": ("run_id",),
    "labels": ("run_id", "shape"),
    "epochs": ("run_id", "epoch"),
    "pruning": ("run_id", "sparsity", "method", "finetune_epochs"),
    "integer_checks": ("run_id",),
    "designs": ("design_id",),
    "looks": ("design_id", "number"),
    "post_training": ("run_id", "weight_bits", "activation_bits"),
    "costs": ("protocol_id", "dataset_fingerprint", "family", "hidden_sizes"),
}


def _field(name: str, hint: object) -> pa.Field[pa.DataType]:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = next(option for option in options if option is not types.NoneType)
    if typing.get_origin(kind) is typing.Literal:
        kind = str
    return pa.field(name, ARROW[kind], nullable=types.NoneType in options)


def _schema(row: type) -> pa.Schema:
    return pa.schema([_field(name, hint) for name, hint in typing.get_type_hints(row).items()])


# One Arrow schema per table, in the order in which the store lists them.
SCHEMAS: dict[str, pa.Schema] = {
    name: _schema(typing.get_args(rows)[0]) for name, rows in typing.get_type_hints(Records).items()
}
TABLES = tuple(SCHEMAS)
# Tables that exports of earlier versions lack.
ADDED_TABLES = ("designs", "looks", "post_training", "costs")
# Columns that earlier versions lack, with what their rows have there.
ADDED: dict[str, dict[str, object]] = {
    name: {
        field.name: field.default
        for field in dataclasses.fields(typing.get_args(rows)[0])
        if field.default is not dataclasses.MISSING
    }
    for name, rows in typing.get_type_hints(Records).items()
}
