"""Decoding of image files (PNG, JPEG and whatever else Pillow reads) into one array."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from generate.datasets.dataset import Pixels
from store.errors import MinarchError

CHANNELS = {"L": 1, "RGB": 3}


def decode_images(files: Iterable[tuple[str, BinaryIO]], count: int) -> Pixels:
    """Return `count` images as uint8 [n, channels, height, width], channels 1 (grey) or 3 (RGB).

    Args:
        files: name (for messages) and content of each image.
        count: how many there are.

    Raises:
        MinarchError: an image is damaged, neither grey nor RGB, or differs in size or mode from the first; names it.
    """
    result: Pixels = np.empty((0, 0, 0, 0), dtype=np.uint8)
    expected = ""
    for index, (name, content) in enumerate(files):
        pixels, mode = _decode(name, content)
        found = f"{pixels.shape[1]} x {pixels.shape[0]} {mode}"
        if index == 0:
            expected = found
            result = np.empty((count, CHANNELS[mode], *pixels.shape[:2]), dtype=np.uint8)
        elif found != expected:
            raise MinarchError(f"{name} is {found} where the first image is {expected}; all images must be alike")
        result[index] = pixels.transpose(2, 0, 1)
    return result


def _decode(name: str, content: BinaryIO) -> tuple[Pixels, str]:
    try:
        with content, Image.open(content) as image:
            mode = image.mode
            pixels = np.asarray(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "no image format that Pillow knows" if isinstance(error, UnidentifiedImageError) else error
        raise MinarchError(f"{name} is damaged or no image: {reason}") from error
    if mode not in CHANNELS:
        raise MinarchError(f"{name} has mode {mode}; images must be 8-bit grey (L) or RGB")
    return pixels.reshape(*pixels.shape[:2], -1), mode
