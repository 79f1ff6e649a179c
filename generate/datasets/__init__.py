"""Datasets: images as bytes in memory, from a registry of names or from a folder of the user's own."""

from generate.datasets.dataset import Dataset, Split, remarks
from generate.datasets.registry import (
    DATASET_GROUPS,
    DATASETS,
    DatasetEntry,
    default_epochs,
    load_dataset,
    resolve_names,
)

__all__ = [
    "DATASETS",
    "DATASET_GROUPS",
    "Dataset",
    "DatasetEntry",
    "Split",
    "default_epochs",
    "load_dataset",
    "remarks",
    "resolve_names",
]
