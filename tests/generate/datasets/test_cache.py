"""The cache of decoded images."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from generate.datasets import cache, load_dataset
from tests.generate.datasets.files import TEST, TRAIN, assert_holds, make_split, truncate, write_parquet


@pytest.fixture
def cache_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SMALLEST_CACHED", 0)


@pytest.mark.usefixtures("cache_all")
def test_cache_follows_the_source(tmp_path: Path, cache_home: Path) -> None:
    write_parquet(tmp_path / "mnist")
    load_dataset("mnist", tmp_path)
    write_parquet(tmp_path / "mnist", make_split(31, seed=7), TEST)
    assert_holds(load_dataset("mnist", tmp_path), make_split(31, seed=7), TEST)
    assert len(list((cache_home / "minarch" / "decoded").iterdir())) == 2


@pytest.mark.usefixtures("cache_all")
@pytest.mark.parametrize("damage", [truncate, lambda _: b"", lambda c: c[:5000] + bytes([c[5000] ^ 255]) + c[5001:]])
def test_damaged_cache_is_ignored(tmp_path: Path, cache_home: Path, damage: Callable[[bytes], bytes]) -> None:
    write_parquet(tmp_path / "mnist")
    load_dataset("mnist", tmp_path)
    (path,) = (cache_home / "minarch" / "decoded").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert_holds(load_dataset("mnist", tmp_path), TRAIN, TEST)


@pytest.mark.usefixtures("cache_all")
def test_cache_that_cannot_be_written_is_ignored(tmp_path: Path, cache_home: Path) -> None:
    cache_home.write_text("a file where the folder should be")
    write_parquet(tmp_path / "mnist")
    assert_holds(load_dataset("mnist", tmp_path), TRAIN, TEST)


def test_small_sets_are_not_cached(tmp_path: Path, cache_home: Path) -> None:
    write_parquet(tmp_path / "mnist")
    load_dataset("mnist", tmp_path)
    assert not cache_home.exists()


def test_the_bundled_digits_are_read_back_without_scikit_learn(cache_home: Path) -> None:
    code = (
        "import sys; from generate.datasets import load_dataset\n"
        "print(load_dataset('digits', None).fingerprint, 'sklearn' in sys.modules)"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache_home)}
    first, second = (
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert [done.stdout.split()[1] for done in (first, second)] == ["True", "False"]
    assert first.stdout.split()[0] == second.stdout.split()[0]
