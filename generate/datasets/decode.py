"""Decoding of image files (PNG, JPEG and whatever else Pillow reads) into one array."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from generate.datasets.dataset import Pixels
from store.errors import MinarchError

CHANNELS = {"L": 1, "RGB": 3}
LARGEST_PIXELS = 100_000_000
"""Images of so many pixels and more are refused before they are decoded: a file of a few kilobytes can claim them."""


def decode_images(files: Iterable[tuple[str, BinaryIO]], count: int) -> Pixels:
    """Return `count` images as uint8 [n, channels, height, width], channels 1 (grey) or 3 (RGB).

    Args:
        files: name (for messages) and content of each image.
        count: how many there are.

    Raises:
        MinarchError: an image is damaged, animated, too large, neither grey nor RGB, or differs in size or mode from
            the first, or all together do not fit the memory; names it.
    """
    result: Pixels = np.empty((0, 0, 0, 0), dtype=np.uint8)
    expected = ""
    for index, (name, content) in enumerate(files):
        pixels, mode = _decode(name, content)
        found = f"{pixels.shape[1]} x {pixels.shape[0]} {mode}"
        if index == 0:
            expected = found
            result = _room(name, (count, CHANNELS[mode], *pixels.shape[:2]))
        elif found != expected:
            raise MinarchError(f"{name} is {found} where the first image is {expected}; all images must be alike")
        result[index] = pixels.transpose(2, 0, 1)
    return result


def _room(name: str, shape: tuple[int, ...]) -> Pixels:
    """Return an empty array for all images, refused where the machine's memory cannot hold it."""
    size = int(np.prod(shape, dtype=np.float64))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise MinarchError(
            f"{shape[0]:,} images as large as {name}, {shape[3]} x {shape[2]} pixels, take {size / 1e9:,.0f} GB of"
            f" memory, and this machine has {memory / 1e9:,.0f}"
        )
    return np.empty(shape, dtype=np.uint8)


def _decode(name: str, content: BinaryIO) -> tuple[Pixels, str]:
    try:
        with content, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Our own limit is close to Pillow's.
            with Image.open(content) as image:
                _check(name, image)
                mode = image.mode
                pixels = np.asarray(image)
    except MinarchError:
        raise
    except Image.DecompressionBombError:
        raise MinarchError(f"{name} has {LARGEST_PIXELS / 1e6:.0f} megapixels or more; scale the images down") from None
    except UnidentifiedImageError as error:
        raise MinarchError(f"{name} is damaged or no image: no image format that Pillow knows") from error
    except Exception as error:
        # Pillow has a reader per format, and a damaged file can raise nearly anything in one.
        raise MinarchError(f"{name} is damaged or no image: {' '.join(str(error).split())[:200]}") from error
    return pixels.reshape(*pixels.shape[:2], -1), mode


def _check(name: str, image: Image.Image) -> None:
    """Refuse what is known of an image before it is decoded."""
    width, height = image.size
    if width * height >= LARGEST_PIXELS:
        raise MinarchError(f"{name} has {width * height / 1e6:.0f} megapixels; scale the images down")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise MinarchError(f"{name} is animated: it has {frames} images, and one is needed")
    if image.mode not in CHANNELS:
        raise MinarchError(f"{name} has mode {image.mode}; images must be 8-bit grey (L) or RGB")
