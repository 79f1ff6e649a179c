"""Names of classes, where a dataset has them; networks and stores know their numbers alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from generate.datasets.files import in_order
from generate.datasets.folder import class_folders
from generate.datasets.parquet import LABEL_COLUMNS, has_parquet, parquet_files, read_labels
from generate.datasets.registry import DATASETS


def class_names(name_or_path: str, classes: int) -> tuple[str, ...]:
    """Return the names of a dataset's classes in the order of their numbers; the numbers where it has no names.

    Args:
        name_or_path: of a dataset that was loaded from there.
        classes: how many there are.

    Raises:
        MinarchError: files of the dataset cannot be read.
    """
    names: Sequence[str]
    if name_or_path in DATASETS:
        names = DATASETS[name_or_path].labels
    else:
        folder = Path(name_or_path).expanduser()
        names = _parquet_names(folder) if has_parquet(folder) else class_folders(folder / "train")
    return tuple(names) if len(names) == classes else tuple(map(str, range(classes)))


def _parquet_names(folder: Path) -> Sequence[str]:
    """Return labels that are names, in order, or those that the metadata of the Hugging Face hub gives to numbers."""
    files = parquet_files(folder, "train")
    schema = pq.read_schema(files[0])
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        for column in LABEL_COLUMNS:
            if names := features.get(column, {}).get("names"):
                return [str(name) for name in names]
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    return in_order({label for label in read_labels(files) if isinstance(label, str)})
