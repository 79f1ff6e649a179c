"""Taking in what shards leave in a folder, once or for as long as they work."""

from __future__ import annotations

import time
from pathlib import Path

import click

from store import signals
from store.database import BusyError
from store.results import Store
from store.words import counted

LOOK_SECONDS = 10.0


def ingest_from(store: Store, folder: Path, *, watch: bool) -> None:
    """Take units from a folder of shards into a store, and say how many; with `watch` until Ctrl-C.

    Raises:
        MinarchError: the folder or the store cannot be used, or another program holds the store (not with `watch`).
        click.exceptions.Exit: with code 130 after Ctrl-C or a termination signal.
    """
    store.prepare()
    with signals.answering("note") as stopping:
        while True:
            try:
                units, new = store.take_in(folder)
            except BusyError:
                if not watch:
                    raise
                units = new = 0  # Next time.
            if units or not watch:
                click.echo(f"{counted(units, 'unit')}, {counted(new, 'new run')}")
            if not watch:
                return
            until = time.monotonic() + LOOK_SECONDS
            while time.monotonic() < until and not stopping():
                time.sleep(0.2)
            if stopping():
                if signals.speak():
                    click.echo("store: interrupted; what was taken in is safe", err=True)
                raise click.exceptions.Exit(signals.INTERRUPTED)
