"""What training needs beyond the packages that reading results needs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from store.errors import MinarchError

TRAINING = {
    "torch": "torch",
    "torchvision": "torchvision",
    "numba": "numba",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
}
"""Modules of the extra `train`, and the distributions they come with."""

DEPLOYMENT = {"onnx": "onnx", "onnxruntime": "onnxruntime", "safetensors": "safetensors"}
"""Those of the extra `deploy`."""


def require_training() -> None:
    """Check that the extra `train` is installed, without importing any of it, and can be imported.

    Raises:
        MinarchError: it is not, or not all of it.
        FileNotFoundError: the current folder is gone, at which PyTorch's MKL ends the program in its own way.
    """
    Path.cwd()
    missing = [distribution for module, distribution in TRAINING.items() if find_spec(module) is None]
    if missing:
        raise MinarchError(f"training needs {', '.join(missing)}: pip install 'minarch[train]'")


def require_deployment() -> None:
    """Check that what `generate model` writes files with is installed, without importing any of it.

    Raises:
        MinarchError: it is not, or not all of it.
    """
    missing = [distribution for module, distribution in DEPLOYMENT.items() if find_spec(module) is None]
    if missing:
        raise MinarchError(f"a model's files need {', '.join(missing)}: pip install 'minarch[deploy]'")
