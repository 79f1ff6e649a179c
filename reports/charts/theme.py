"""Colours and typography, once: the page's style sheet and the charts' configuration both come from here.

The four colours of the depths are a blue, a vermillion, a green and a purple, in the order of Okabe and Ito's palette,
moved until they differ by 0.1 or more in OKLab for full, deuteranope and protanope sight and have a contrast of 3:1 or
more with the ground; marker shapes repeat what colour says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
LIGHT: Mapping[str, str] = {
    "ground": "#ffffff",
    "panel": "#f5f6f8",
    "ink": "#16191d",
    "soft": "#4a535f",
    "line": "#d5dae1",
    "strong-line": "#7d8794",
    "accent": "#0b5cad",
    "good": "#00664e",
    "warn": "#9a3c00",
    "series-1": "#215cc3",
    "series-2": "#de4405",
    "series-3": "#1d8d7d",
    "series-4": "#841c5e",
    "series-5": "#6b5b00",
    "series-6": "#4a535f",
}
DARK: Mapping[str, str] = {
    "ground": "#14171b",
    "panel": "#1d2127",
    "ink": "#e9ebee",
    "soft": "#aab3be",
    "line": "#363d47",
    "strong-line": "#7d8794",
    "accent": "#74b9ff",
    "good": "#4fd0aa",
    "warn": "#ffab66",
    "series-1": "#4c98ff",
    "series-2": "#ef7f3c",
    "series-3": "#37e6bf",
    "series-4": "#c6659e",
    "series-5": "#d8c450",
    "series-6": "#aab3be",
}
VARIABLES: Mapping[str, str] = {name: f"var(--{name})" for name in LIGHT}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Noto Sans', sans-serif"


def chart_config(colours: Mapping[str, str]) -> dict[str, Any]:
    """Return the Vega-Lite configuration in these colours: hex values for a file, CSS variables for the page."""
    return {
        "background": "transparent" if colours is VARIABLES else colours["ground"],
        "font": FONT,
        "view": {"stroke": None},
        "range": {
            "category": [colours[f"series-{i}"] for i in range(1, 7)],
            "symbol": list(SHAPES),
        },
        "axis": {
            "labelColor": colours["soft"],
            "titleColor": colours["ink"],
            "gridColor": colours["line"],
            "domainColor": colours["strong-line"],
            "tickColor": colours["strong-line"],
            "labelFontSize": 12,
            "titleFontSize": 13,
            "titleFontWeight": 500,
            "titlePadding": 8,
            "labelOverlap": "greedy",
            "labelSeparation": 4,
        },
        "axisX": {"grid": False},
        "title": {
            "color": colours["ink"],
            "subtitleColor": colours["soft"],
            "anchor": "start",
            "fontSize": 16,
            "subtitleFontSize": 12,
            "offset": 12,
        },
        "legend": {
            "labelColor": colours["ink"],
            "titleColor": colours["ink"],
            "labelFontSize": 12,
            "titleFontSize": 12,
            "disable": colours is VARIABLES,
        },
        "text": {"color": colours["soft"], "fontSize": 11, "aria": False},
        # Only markers speak to assistive technology: one says what its stretch of band and line show.
        **{mark: {"aria": False} for mark in ("area", "line", "rule", "rect")},
        "style": {
            "reference": {"color": colours["strong-line"], "strokeDash": [2, 4], "strokeWidth": 1.2},
            "reference-label": {
                "color": colours["soft"],
                "fontSize": 11,
                "align": "right",
                "baseline": "bottom",
                "dx": -2,
                "dy": -3,
            },
            "crossing": {"color": colours["ink"]},
            "chosen": {"color": colours["strong-line"], "strokeWidth": 12, "opacity": 0.22},
            "context": {"color": colours["strong-line"], "strokeWidth": 1, "opacity": 0.45},
        },
    }


def style_variables() -> str:
    """Return the CSS that defines both palettes: light, dark by the system's wish or the page's switch, print light."""

    def block(colours: Mapping[str, str]) -> str:
        return "".join(f"--{name}:{value};" for name, value in colours.items())

    light, dark = block(LIGHT), block(DARK)
    return (
        f":root{{{light}color-scheme:light;}}\n"
        f'@media (prefers-color-scheme:dark){{:root:not([data-theme="light"]){{{dark}color-scheme:dark;}}}}\n'
        f':root[data-theme="dark"]{{{dark}color-scheme:dark;}}\n'
        f"@media print{{:root,:root[data-theme]{{{light}color-scheme:light;}}}}\n"
    )
