"""Options and fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
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
