"""Folders of the user's own with what must be refused, or remarked on, in one line."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from generate.datasets import Dataset, Split, load_dataset, remarks, resolve_names
from generate.datasets.dataset import assemble
from tests.generate.datasets.files import make_split, message, write_parquet, write_tree


def claimed_png(width: int, height: int) -> bytes:
    """Return a grey PNG of under a kilobyte that claims to be this large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")
    )


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(np.full((28, 28), level, dtype=np.uint8)) for level in (0, 128, 255)]
    content = io.BytesIO()
    frames[0].save(content, kind, save_all=True, append_images=frames[1:])
    return content.getvalue()


def refusal(folder: Path) -> str:
    return message(lambda: load_dataset(str(folder), None))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    write_tree(tmp_path / "mine")
    return tmp_path / "mine"


def make_socket(path: Path) -> None:
    # The address of a socket is short.
    here = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "is a pipe, not a file"),
    "socket": (make_socket, "is a socket, not a file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file"),
    "folder": (Path.mkdir, "is a folder, not a file"),
    "broken link": (lambda path: path.symlink_to("nowhere"), "is a broken link"),
    "loop": (lambda path: path.symlink_to(path.name), "is a broken link"),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("place", ["train/class-4/0.png", "test/class-4/999.jpg"])
def test_what_is_no_file_is_refused_without_reading_it(kind: str, place: str, mine: Path) -> None:
    make, complaint = SPECIAL[kind]
    make(mine / place)
    assert f"{mine / place} {complaint}" in refusal(mine)


@pytest.mark.parametrize("kind", SPECIAL)
def test_parquet_that_is_no_file_is_refused(kind: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "mine")
    path = tmp_path / "mine" / "test-00000-of-00001.parquet"
    path.unlink()
    SPECIAL[kind][0](path)
    assert f"{path} {SPECIAL[kind][1]}" in refusal(tmp_path / "mine")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_animated_images_are_refused(kind: str, mine: Path) -> None:
    path = mine / "train" / "class-4" / f"0.{kind.lower()}"
    path.write_bytes(animated(kind))
    assert f"{path} is animated: it has 3 images" in refusal(mine)


@pytest.mark.parametrize("side", [10_000, 13_000, 14_000, 60_000])
def test_huge_images_are_refused_before_they_are_decoded(side: int, mine: Path, tmp_path: Path) -> None:
    content = claimed_png(side, side)
    path = mine / "train" / "class-0" / "000.png"
    path.write_bytes(content)
    text = refusal(mine)
    assert f"{path} has " in text
    assert "megapixels" in text
    table = pa.table({"image": [{"bytes": content, "path": None}] * 4, "label": [0, 1, 0, 1]})
    for part in ("train", "test"):
        (tmp_path / "rows").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "rows" / f"{part}-00000-of-00001.parquet")
    assert "row 0 has " in refusal(tmp_path / "rows")
    assert "megapixels" in refusal(tmp_path / "rows")


def test_more_images_than_fit_the_memory_are_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("L", (9_000, 9_000)).save(content, "PNG")
    rows = pa.array([{"bytes": content.getvalue(), "path": None}] * 4_000)
    table = pa.table({"image": rows, "label": [n % 2 for n in range(4_000)]})
    (tmp_path / "bomb").mkdir()
    for part in ("train", "test"):
        pq.write_table(table.slice(0, 4_000 if part == "train" else 4), tmp_path / "bomb" / f"{part}.parquet")
    assert (tmp_path / "bomb" / "train.parquet").stat().st_size < 5e6
    assert "GB of memory" in refusal(tmp_path / "bomb")


LABELS: dict[str, tuple[list[object], str]] = {
    "lists": ([[n % 3] for n in range(12)], "row 0 has label [0]"),
    "too large": ([2**62 if n == 3 else n % 3 for n in range(12)], "row 3 has label 4611686018427387904"),
    "unsigned": ([2**64 - 1 if n == 3 else n % 3 for n in range(12)], "row 3 has label 18446744073709551615"),
    "negative": ([-1 if n == 3 else n % 3 for n in range(12)], "must run from 0"),
    "structs": ([{"a": n % 3} for n in range(12)], "row 0 has label {'a': 0}"),
    "a name missing": ([None if n == 3 else "abc"[n % 3] for n in range(12)], "row 3 has label None"),
    "bytes": ([b"abc"[n % 3 : n % 3 + 1] for n in range(12)], "row 0 has label b'a'"),
    "floats": ([float("nan")] * 12, "row 0 has label nan"),
    "none": ([], "there are no training images"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_are_none(kind: str, tmp_path: Path) -> None:
    labels, complaint = LABELS[kind]
    write_parquet(tmp_path / "mine", make_split(12, classes=3), make_split(6, classes=3))
    path = tmp_path / "mine" / "train-00000-of-00001.parquet"
    images = pq.read_table(path).column("image").slice(0, len(labels))
    column = pa.array(labels, pa.uint64() if kind == "unsigned" else None)  # type: ignore[arg-type]
    pq.write_table(pa.table({"image": images, "label": column}), path)
    assert complaint in refusal(tmp_path / "mine")


def test_both_files_without_rows(tmp_path: Path) -> None:
    empty = Split(np.empty((0, 1, 8, 8), dtype=np.uint8), np.empty(0, dtype=np.int64))
    write_parquet(tmp_path / "mine", empty, empty)
    assert "there are no training images" in refusal(tmp_path / "mine")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("x" * 5000, "File name too long"),
        ("/".join(["x" * 200] * 30), "File name too long"),
        ("~nobody-of-this-name/data", "no such user"),
        (os.fsdecode(b"caf\xe9"), "not UTF-8"),
        ("nul\0byte", "there is no dataset"),
        ("", ""),
    ],
)
def test_names_that_are_no_folders(name: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = message(lambda: resolve_names([name]) and load_dataset(name, None))
    assert complaint in text
    assert len(text) < 500


def test_a_folder_that_may_not_be_read(mine: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (mine / "train").chmod(0)
    try:
        assert "cannot be read: Permission denied" in refusal(mine)
    finally:
        (mine / "train").chmod(0o755)


def test_one_image_per_class_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path / "mine", make_split(10), make_split(10, seed=1))
    assert "every class has one training image" in refusal(tmp_path / "mine")


def small(train: list[int], test: list[int]) -> Dataset:
    def split(labels: list[int]) -> Split:
        return Split(np.zeros((len(labels), 1, 8, 8), dtype=np.uint8), np.array(labels, dtype=np.int64))

    return assemble("mine", split(train), split(test), max(train) + 1, own=True)


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ([0, 1] * 20, [0, 1], []),
        ([0, 1] * 20, [1], ["mine: class 0 has no test image"]),
        ([0, 1, 2] + [0, 1] * 20, [0, 1, 2], ["mine: class 2 has one training image"]),
        ([0, 1, 2, 3] * 5, [0, 1], ["classes 2, 3 have no test image", "validation has 2 images for 4 classes"]),
        ([0, 0, 1], [0, 1], ["class 1 has one training image", "validation has 1 image for 2 classes"]),
    ],
)
def test_odd_data_are_remarked_on(train: list[int], test: list[int], expected: list[str]) -> None:
    found = remarks(small(train, test), 0.1)
    assert len(found) == len(expected)
    assert all(text in line for text, line in zip(expected, found, strict=True))


def test_the_bundled_data_are_fine(digits: Dataset) -> None:
    assert remarks(digits, 0.1) == []
