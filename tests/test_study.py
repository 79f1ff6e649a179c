"""The results that the project ships: whole, importable, and as their README counts them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from store.results import Store

RESULTS = Path(__file__).parent.parent / "results"


def test_every_file_has_its_checksum() -> None:
    lines = (line.split("  ") for line in (RESULTS / "checksums.txt").read_text().splitlines())
    assert {name: digest for digest, name in lines} == {
        str(path.relative_to(RESULTS)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in RESULTS.glob("*/*.parquet")
    }


def test_they_make_the_store_that_the_readme_counts(tmp_path: Path) -> None:
    store = Store(tmp_path / "study.duckdb")
    added = [store.import_(folder)["runs"] for folder in sorted(RESULTS.iterdir()) if folder.is_dir()]
    assert f"{sum(added):,} runs" in (RESULTS / "README.md").read_text()
    assert store.query("SELECT count(*) FROM runs").item() == sum(added)


def test_they_name_no_machine() -> None:
    for path in RESULTS.glob("*/invocations.parquet"):
        frame = pl.read_parquet(path)
        assert not frame["argv"].str.contains(r"(^|[ =])[/~]").any()
        assert not frame["host"].str.contains("hostname|node").any()
