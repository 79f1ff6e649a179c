"""Parquet files as Hugging Face lays them out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from generate.datasets import load_dataset
from tests.generate.datasets.files import TEST, TRAIN, assert_holds, encoded, message, truncate, write_parquet


@pytest.mark.parametrize("columns", [("image", "label"), ("img", "label"), ("image", "labels"), ("img", "fine_label")])
def test_parquet_columns(tmp_path: Path, columns: tuple[str, str]) -> None:
    write_parquet(tmp_path / "mnist", columns=columns)
    assert_holds(load_dataset("mnist", tmp_path, download=False), TRAIN, TEST)


def test_parquet_shards_are_read_in_order(tmp_path: Path) -> None:
    write_parquet(tmp_path / "mnist", shards=3)
    assert_holds(load_dataset("mnist", tmp_path, download=False), TRAIN, TEST)


def test_missing_shard_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "mnist", shards=3)
    path = tmp_path / "mnist" / "train-00001-of-00003.parquet"
    path.unlink()
    assert f"{path} is missing" in message(lambda: load_dataset("mnist", tmp_path))


def test_parquet_without_test_files(tmp_path: Path) -> None:
    write_parquet(tmp_path / "mnist")
    (tmp_path / "mnist" / "test-00000-of-00001.parquet").unlink()
    assert "test-*.parquet is missing" in message(lambda: load_dataset("mnist", tmp_path))


@pytest.mark.parametrize("damage", [truncate, lambda _: b"", lambda _: b"PAR1 no more PAR1"])
def test_damaged_parquet_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    write_parquet(tmp_path / "mnist")
    path = tmp_path / "mnist" / "train-00000-of-00001.parquet"
    path.write_bytes(damage(path.read_bytes()))
    assert f"{path} is damaged" in message(lambda: load_dataset("mnist", tmp_path))


def test_parquet_without_the_columns(tmp_path: Path) -> None:
    write_parquet(tmp_path / "mnist", columns=("picture", "label"))
    text = message(lambda: load_dataset("mnist", tmp_path))
    assert "has no column image or img; it has picture, label" in text


@pytest.mark.parametrize("content", [None, b"no image", encoded(TRAIN.images[0])[:60]])
def test_bad_image_in_parquet_is_named_by_row(tmp_path: Path, content: bytes | None) -> None:
    write_parquet(tmp_path / "mnist")
    path = tmp_path / "mnist" / "train-00000-of-00001.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[7]["image"]["bytes"] = content
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert f"{path}, row 7 " in message(lambda: load_dataset("mnist", tmp_path))


@pytest.mark.parametrize("label", [lambda n: None if n == 4 else int(n), lambda n: n / 2, lambda n: n > 4])
def test_labels_in_parquet_are_whole_numbers(tmp_path: Path, label: Callable[[int], object]) -> None:
    write_parquet(tmp_path / "mnist", label=label)
    assert "labels are whole numbers" in message(lambda: load_dataset("mnist", tmp_path))
