"""Planted stores and a browser for the report's tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from selenium import webdriver

from reports.cli import cli
from reports.findings import Findings, load
from store.results import Store
from tests.reports.planted import plant

SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-prefers-reduced-motion",
)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two datasets, two families, six replicates; everything on digits, convergence alone on mnist."""
    path = tmp_path_factory.mktemp("planted") / "results.duckdb"
    plant(path, datasets=("mnist",), families=("dnn", "cnn"))
    return plant(
        path,
        datasets=("digits",),
        families=("dnn", "cnn"),
        every_topology=True,
        epochs=20,
        pruning=True,
        quantization=True,
        forms=True,
    )


@pytest.fixture(scope="session")
def findings(store: Store) -> Findings:
    return load(store.path)


@pytest.fixture(scope="session")
def report(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "report.html"
    result = invoke("render", "--store", str(store.path), "--out", str(out))
    assert result.exit_code == 0, result.output
    return out


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Chromium without a window or a profile; the tests are skipped where it is not installed."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for switch in (*SWITCHES, f"--user-data-dir={profile}", "--window-size=1280,1000"):
            options.add_argument(switch)
        window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            yield window
        finally:
            window.quit()
