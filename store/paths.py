"""Paths in what a store keeps of its invocations: an export that is given to others names no machine."""

from __future__ import annotations

import json
import shlex

import pyarrow as pa


def without_folders(invocations: pa.RecordBatch, *, requests: bool) -> pa.RecordBatch:
    """Return rows of `invocations` whose command lines have the last part of each path alone; requests too if asked."""
    columns = {"argv": shortened_line, **({"request": shortened_request} if requests else {})}
    for name, shorten in columns.items():
        place = invocations.schema.get_field_index(name)
        if place >= 0:
            values = [text and shorten(text) for text in invocations.column(place).to_pylist()]
            field = invocations.schema.field(place)
            invocations = invocations.set_column(place, field, pa.array(values, field.type))
    return invocations


def shortened_line(line: str) -> str:
    """Return a command line whose absolute paths, and values of options that are, have only their last part."""
    try:
        words = shlex.split(line)
    except ValueError:
        return line.split(" ", 1)[0]  # No shell would take it: what is a path in it cannot be told.
    return shlex.join(map(_shortened_word, words))


def shortened_request(text: str) -> str:
    """Return a request, as JSON, whose folders have only their last part."""
    request = json.loads(text)
    for dataset in request.get("datasets") or ():
        if isinstance(dataset, dict) and isinstance(dataset.get("source"), str):
            dataset["source"] = _last(dataset["source"])
    if isinstance(request.get("data_dir"), str):
        request["data_dir"] = _last(request["data_dir"])
    return json.dumps(request, sort_keys=True, separators=(",", ":"))


def _shortened_word(word: str) -> str:
    option, equals, value = word.partition("=")
    if equals and option.startswith("-"):
        return f"{option}={_last(value)}"
    return _last(word)


def _last(path: str) -> str:
    if not path.startswith(("/", "~", "../", "./")):
        return path
    return path.rstrip("/").rpartition("/")[2] or "/"
