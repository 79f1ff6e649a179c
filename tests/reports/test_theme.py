"""Colours that can be read, and told apart without red or green."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from reports.charts.theme import DARK, LIGHT, style_variables

# Machado, Oliveira and Fernandes (2009), severity 1, for linear RGB.
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)


def _linear(colour: str) -> NDArray[np.float64]:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def _contrast(one: str, other: str) -> float:
    """Contrast ratio by WCAG 2."""
    light, dark = sorted((float(_linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """OKLab of a linear RGB colour (Ottosson, 2020)."""
    lms = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    ) @ np.clip(linear, 0, 1)
    mix = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    lab: NDArray[np.float64] = np.array(mix) @ np.cbrt(lms)
    return lab


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast(theme: Mapping[str, str]) -> None:
    for text in ("ink", "soft", "accent", "good", "warn"):
        assert _contrast(theme[text], theme["ground"]) >= 4.5, text
        assert _contrast(theme[text], theme["panel"]) >= 4.5, text
    for i in range(1, 7):
        assert _contrast(theme[f"series-{i}"], theme["ground"]) >= 3, i
    assert _contrast(theme["strong-line"], theme["ground"]) >= 3


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("sight", [np.eye(3), DEUTERANOPIA, PROTANOPIA], ids=["full", "deuteranopia", "protanopia"])
def test_depths_are_told_apart(theme: Mapping[str, str], sight: NDArray[np.float64]) -> None:
    seen = [_lab(sight @ _linear(theme[f"series-{i}"])) for i in range(1, 5)]
    # 0.02 is a just noticeable difference in OKLab.
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2)) > 0.1


def test_every_colour_of_the_style_sheet_is_defined() -> None:
    import re
    from importlib.resources import files

    css = files("reports").joinpath("assets", "style.css").read_text(encoding="utf-8")
    assert set(re.findall(r"var\(--([a-z0-9-]+)\)", css)) <= set(LIGHT)
    assert set(LIGHT) == set(DARK)
    assert style_variables().count("--ink:") == 4
