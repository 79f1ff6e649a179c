"""Settings of the engine's tests."""

from __future__ import annotations

import pytest
import torch

from generate.datasets import Dataset, load_dataset


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Workers compute on one thread each; so do the tests."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """The bundled dataset."""
    return load_dataset("digits", None)
