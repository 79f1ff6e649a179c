"""Downloads, with torchvision's class replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from generate.datasets import load_dataset, torchvision_sets
from tests.generate.datasets.files import (
    TEST,
    TRAIN,
    assert_holds,
    assert_offers_three_ways,
    make_split,
    message,
    write_idx,
    write_parquet,
)


class Downloader:
    """Stands in for torchvision.datasets.MNIST: writes its files below the folder it is given."""

    fails: Exception | None = None

    def __init__(self, root: str, *, train: bool, download: bool) -> None:
        assert download
        write_idx(Path(root), folder="MNIST")
        if self.fails is not None:
            raise self.fails


@pytest.fixture
def downloader(monkeypatch: pytest.MonkeyPatch) -> type[Downloader]:
    monkeypatch.setattr(torchvision_sets, "_torchvision_class", lambda _: Downloader)
    monkeypatch.setattr(Downloader, "fails", None)
    return Downloader


def test_download_fills_the_data_folder(tmp_path: Path, downloader: type[Downloader]) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    assert_holds(load_dataset("mnist", folder), TRAIN, TEST)
    assert [path.name for path in folder.iterdir()] == ["MNIST"]
    assert_holds(load_dataset("mnist", folder, download=False), TRAIN, TEST)


def test_download_without_a_data_folder_goes_to_the_users_cache(cache_home: Path, downloader: type[Downloader]) -> None:
    assert_holds(load_dataset("mnist", None), TRAIN, TEST)
    assert (cache_home / "minarch" / "datasets" / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file()


def test_failed_download_leaves_nothing_behind(
    tmp_path: Path, downloader: type[Downloader], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setattr(downloader, "fails", OSError("<urlopen error\n[Errno -2] Name or service not known>"))
    text = message(lambda: load_dataset("mnist", folder))
    assert_offers_three_ways(text, folder / "MNIST" / "raw" / "train-images-idx3-ubyte")
    assert "Name or service not known" in text
    assert list(folder.iterdir()) == []


def test_parquet_is_preferred_to_a_download(tmp_path: Path, downloader: type[Downloader]) -> None:
    train, test = make_split(10, seed=5), make_split(10, seed=6)
    write_parquet(tmp_path / "mnist", train, test)
    assert_holds(load_dataset("mnist", tmp_path), train, test)


def test_torchvision_files_are_preferred_to_parquet(tmp_path: Path) -> None:
    write_idx(tmp_path)
    write_parquet(tmp_path / "mnist", make_split(10, seed=5), make_split(10, seed=6))
    assert_holds(load_dataset("mnist", tmp_path), TRAIN, TEST)
