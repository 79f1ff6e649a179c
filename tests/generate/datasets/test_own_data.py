"""The user's own data: image folders and Parquet."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from generate.architectures import ImageShape
from generate.datasets import load_dataset
from generate.datasets.dataset import in_order_of_content
from tests.generate.datasets.files import (
    TEST,
    TRAIN,
    assert_holds,
    make_split,
    message,
    write_parquet,
    write_tree,
)


def test_own_image_tree(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_tree(folder)
    (folder / "train" / "class-3" / "notes.txt").write_text("no image")
    (folder / "train" / ".hidden").mkdir()
    dataset = load_dataset(str(folder), None)
    assert (dataset.name, dataset.classes) == ("mine", 10)
    assert_holds(dataset, in_order_of_content(TRAIN), in_order_of_content(TEST))


def test_own_parquet_with_names_for_labels(tmp_path: Path) -> None:
    train, test = make_split(12, 3, 9, 3), make_split(6, 3, 9, 2)
    names = ["ant", "bee", "wasp"]
    write_parquet(tmp_path / "insects" / "data", train, test, label=lambda n: names[n])
    dataset = load_dataset(str(tmp_path / "insects"), None)
    assert (dataset.name, dataset.image) == ("insects", ImageShape(9, 9, 3, 3))
    assert_holds(dataset, in_order_of_content(train), in_order_of_content(test))


def test_own_data_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    assert load_dataset(".", None).name == "mine"


def test_own_tree_without_test_images(tmp_path: Path) -> None:
    write_tree(tmp_path / "mine")
    (tmp_path / "mine" / "test").rename(tmp_path / "mine" / "validation")
    text = message(lambda: load_dataset(str(tmp_path / "mine"), None))
    assert f"{tmp_path}/mine/test is missing" in text


def test_own_tree_with_a_class_only_in_test(tmp_path: Path) -> None:
    write_tree(tmp_path / "mine")
    (tmp_path / "mine" / "test" / "class-9").rename(tmp_path / "mine" / "test" / "zebra")
    assert "mine/test/zebra is a class without training" in message(lambda: load_dataset(str(tmp_path / "mine"), None))


def test_own_tree_with_an_empty_class(tmp_path: Path) -> None:
    write_tree(tmp_path / "mine")
    (tmp_path / "mine" / "train" / "empty").mkdir()
    assert "mine/train/empty has no images" in message(lambda: load_dataset(str(tmp_path / "mine"), None))


def test_own_tree_without_classes(tmp_path: Path) -> None:
    (tmp_path / "mine" / "train").mkdir(parents=True)
    (tmp_path / "mine" / "test").mkdir()
    assert "has no class folders" in message(lambda: load_dataset(str(tmp_path / "mine"), None))


def test_own_tree_with_one_class(tmp_path: Path) -> None:
    write_tree(tmp_path / "mine", make_split(5, classes=1), make_split(5, classes=1))
    assert "only one class" in message(lambda: load_dataset(str(tmp_path / "mine"), None))


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        (Image.new("L", (27, 28)), "is 27 x 28 L where the first image is 28 x 28 L"),
        (Image.new("RGB", (28, 28)), "is 28 x 28 RGB where the first image is 28 x 28 L"),
        (Image.new("RGBA", (28, 28)), "has mode RGBA"),
        (Image.new("P", (28, 28)), "has mode P"),
        (Image.new("I;16", (28, 28)), "has mode I;16"),
    ],
)
def test_own_images_must_be_alike(tmp_path: Path, image: Image.Image, complaint: str) -> None:
    write_tree(tmp_path / "mine")
    path = tmp_path / "mine" / "train" / "class-4" / "004.png"
    image.save(path)
    text = message(lambda: load_dataset(str(tmp_path / "mine"), None))
    assert f"{path} {complaint}" in text


def test_own_damaged_image_is_named(tmp_path: Path) -> None:
    write_tree(tmp_path / "mine")
    path = tmp_path / "mine" / "test" / "class-4" / "004.png"
    for content in (b"", path.read_bytes()[:80]):
        path.write_bytes(content)
        assert f"{path} is damaged" in message(lambda: load_dataset(str(tmp_path / "mine"), None))


def test_own_labels_without_gaps(tmp_path: Path) -> None:
    write_parquet(tmp_path / "mine", label=lambda n: int(n) + 1)
    assert "without a gap" in message(lambda: load_dataset(str(tmp_path / "mine"), None))


def test_folder_that_is_no_dataset(tmp_path: Path) -> None:
    assert f"{tmp_path} is no dataset" in message(lambda: load_dataset(str(tmp_path), None))


def test_own_data_may_not_take_a_known_name(tmp_path: Path) -> None:
    write_tree(tmp_path / "mnist")
    assert "known dataset" in message(lambda: load_dataset(str(tmp_path / "mnist"), None))
