"""Options and fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import database

SLOW_SECONDS = 7200
"""Time limit of a slow test that sets none itself."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")
    parser.addoption("--kills", type=int, default=3, help="processes to kill in tests/faults")


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts the background jobs of a script deaf to Ctrl-C, and so would be every program that a test starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))
    if config.getoption("--slow"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder with the real datasets: the environment variable MINARCH_DATA."""
    folder = os.environ.get("MINARCH_DATA")
    if not folder:
        pytest.skip("MINARCH_DATA does not name a folder with the real datasets")
    path = Path(folder)
    if not path.is_dir():
        pytest.skip(f"MINARCH_DATA names {folder}, which is no folder")
    return path


@pytest.fixture(scope="session", autouse=True)
def _empty_stores_are_copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make the empty store of a process once: its migrations take longer than most tests."""
    make, template = database._make, tmp_path_factory.mktemp("template") / "empty.duckdb"

    def copied(path: Path) -> None:
        if not template.exists():
            make(template)
        path.with_name(path.name + ".wal").unlink(missing_ok=True)
        path.write_bytes(template.read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_make", copied)
        yield
