"""Test accuracy over model size, with the regime boundaries drawn in: the first panels of the paper's Figures 3-5."""

from __future__ import annotations

from typing import Any, Literal

import altair as alt
import polars as pl

from reports.charts import parts
from reports.charts.vocabulary import (
    ACCURACY,
    CAPACITIES,
    FAMILIES,
    PARAMETERS,
    SHORT_CAPACITIES,
    dataset_name,
    depth_name,
    percent,
)

Axis = Literal["capacity", "parameters"]
SIDE_STEP = 0.014


def convergence(
    cells: pl.DataFrame,
    replicates: pl.DataFrame,
    boundaries: pl.DataFrame,
    *,
    dataset: str,
    family: str,
    chance: float,
    axis: Axis = "capacity",
) -> parts.Drawing:
    """Return mean test accuracy with spread over capacity or over trainable parameters, one colour per depth.

    Args:
        cells: One row per depth and capacity: depth, capacity, parameters, n, mean, sd, ci_low, ci_high; accuracies
            are fractions and the interval is that of the mean.
        replicates: One row per run: depth, capacity, parameters, replicate, test_accuracy.
        boundaries: Rows of the regimes table with capacity, ci_low, ci_high and parameters, parameters_low,
            parameters_high; those not detected may be in it and are not drawn.
        dataset: Name of the dataset.
        family: Name of the family.
        chance: Accuracy of guessing, a fraction.
        axis: What the horizontal axis shows.
    """
    depths = cells["depth"].unique().sort().to_list()
    x = parts.size_axis(family, axis, cells)
    drawn = _drawn(boundaries)
    layers = [
        parts.chosen_capacity(x),
        *(_boundary_layers(x, depths, family) if len(drawn) else []),
        *parts.chance_line(chance),
        *parts.curve_layers("cells", x, depths, family, _tooltip(family)),
        _replicate_layer(x, depths, family, axis),
    ]
    return parts.figure(
        layers,
        {
            "cells": cells,
            "replicates": replicates,
            "boundaries": _boundary_rows(drawn, depths, axis),
        },
        title=f"{dataset_name(dataset)}, {FAMILIES[family]}: test accuracy over {_axis_words(family, axis)}",
        subtitle=[
            "Lines: mean over replicates; bands: one standard deviation; bars: 95% interval of the mean.",
            *_boundary_caption(drawn),
        ],
        alternative=describe(cells, boundaries, dataset=dataset, family=family, axis=axis),
        x=parts.size_window(axis, cells),
        depths=depths,
        chosen=0,
        replicates=False,
    )


def _tooltip(family: str) -> list[alt.Tooltip]:
    return [
        *parts.size_tips(family),
        *parts.mean_tips(),
        alt.Tooltip("ci_low:Q", title="95% interval from", format=".2%"),
        alt.Tooltip("ci_high:Q", title="to", format=".2%"),
        alt.Tooltip("n:Q", title="replicates"),
    ]


def describe(cells: pl.DataFrame, boundaries: pl.DataFrame, *, dataset: str, family: str, axis: Axis) -> str:
    """Return the figure in words, for those who cannot see it."""
    sentences = [f"Mean test accuracy on {dataset_name(dataset)} over {_axis_words(family, axis)}."]
    for depth in cells["depth"].unique().sort().to_list():
        curve = cells.filter(pl.col("depth") == depth).sort("capacity")
        first, last = curve.row(0, named=True), curve.row(-1, named=True)
        sentences.append(
            f"With {depth_name(family, depth)}: {percent(first['mean'])} at {first[axis]:,}, "
            f"{percent(last['mean'])} at {last[axis]:,}."
        )
    for row in _drawn(boundaries).iter_rows(named=True):
        sentences.append(
            f"{row['boundary'].capitalize()} boundary with {depth_name(family, row['depth'])}: "
            f"{SHORT_CAPACITIES[family]} {row['capacity']}, "
            f"95% interval {row['ci_low']} to {row['ci_high']}."
        )
    return " ".join(sentences)


def _axis_words(family: str, axis: Axis) -> str:
    return PARAMETERS.lower() if axis == "parameters" else CAPACITIES[family].lower()


def _drawn(boundaries: pl.DataFrame) -> pl.DataFrame:
    return boundaries.filter(pl.col("capacity").is_not_null() & (pl.col("status") == "detected"))


def _boundary_caption(drawn: pl.DataFrame) -> list[str]:
    marks = {"stability": "dashed: stability boundary", "overfitting": "dotted: overfitting boundary"}
    words = [mark for boundary, mark in marks.items() if boundary in set(drawn["boundary"])]
    return [f"{'; '.join(words).capitalize()}; bars at the foot: their 95% intervals."] if words else []


def _replicate_layer(x: alt.X, depths: list[int], family: str, axis: Axis) -> alt.Chart:
    """Return one dot per run, drawn on demand; depths stand side by side where they share a capacity."""
    apart = f"datum.{axis}"
    if axis == "capacity":
        apart += f" * pow(10, {SIDE_STEP} * (indexof({depths}, datum.depth) - {(len(depths) - 1) / 2}))"
    layer: alt.Chart = (
        parts.named("replicates")
        .transform_filter(f"replicates && {parts.VISIBLE}")
        .transform_calculate(place=apart)
        .mark_circle(size=16, opacity=0.5, clip=True, aria=False)
        .encode(
            x=parts.at(x, "place"),
            y=parts.accuracy_axis("test_accuracy"),
            color=parts.depth_colour(depths, family),
            tooltip=[
                alt.Tooltip("replicate:Q"),
                *parts.size_tips(family),
                alt.Tooltip("test_accuracy:Q", title=ACCURACY, format=".2%"),
            ],
        )
    )
    return layer


def _boundary_rows(drawn: pl.DataFrame, depths: list[int], axis: Axis) -> pl.DataFrame:
    low, high = ("ci_low", "ci_high") if axis == "capacity" else ("parameters_low", "parameters_high")
    rows = {depth: place for place, depth in enumerate(reversed(depths))}
    return drawn.with_columns(
        pl.col("depth").replace_strict(rows, return_dtype=pl.Int64).alias("row"),
        pl.col(axis).alias("place"),
        pl.col(low).alias("from"),
        pl.col(high).alias("to"),
    ).select("depth", "row", "boundary", "capacity", "parameters", "ci_low", "ci_high", "place", "from", "to")


def _boundary_layers(x: alt.X, depths: list[int], family: str) -> list[alt.Chart]:
    """Return the interval as a faint band, the boundary as a line, and both again in a row per depth at the foot."""
    tooltip = [
        alt.Tooltip("boundary:N", title="boundary"),
        *parts.size_tips(family),
        alt.Tooltip("ci_low:Q", title=f"95% interval from {SHORT_CAPACITIES[family]}", format=","),
        alt.Tooltip("ci_high:Q", title="to", format=","),
    ]
    base = parts.named("boundaries").transform_filter(parts.VISIBLE).encode(color=parts.depth_colour(depths, family))
    place, start = parts.at(x, "place"), parts.at(x, "from")
    dash = alt.StrokeDash("boundary:N", legend=None).scale(
        domain=["stability", "overfitting"], range=[[6, 4], [1.5, 3]]
    )
    strip: dict[str, Any] = {"yOffset": alt.ExprRef(f"-6 - {parts.STRIP_ROW} * datum.row"), "clip": True}
    return [
        base.mark_rect(opacity=0.05, clip=True).encode(x=start, x2=alt.X2("to:Q")),
        base.mark_rule(strokeWidth=1.6, clip=True).encode(x=place, strokeDash=dash, tooltip=tooltip),
        base.mark_rule(strokeWidth=5, opacity=0.45, strokeCap="round", **strip).encode(
            x=start, x2=alt.X2("to:Q"), y=parts.foot(), tooltip=tooltip
        ),
        base.mark_point(filled=True, size=44, opacity=1, **strip).encode(
            x=place, y=parts.foot(), shape=parts.depth_shape(depths, family), tooltip=tooltip
        ),
    ]
