"""The share of trainings that reach the target accuracy over model size, with its exact bounds."""

from __future__ import annotations

import altair as alt
import polars as pl

from reports.charts import parts
from reports.charts.vocabulary import CAPACITIES, FAMILIES, dataset_name, depth_name, percent

SHARE = parts.Window("share", 0, 1.02)
"""A little room above all of the trainings: that is where most markers of a reliable family lie."""


def reach(shares: pl.DataFrame, *, dataset: str, family: str) -> parts.Drawing:
    """Return the share of trainings that reach the target over capacity, with its bounds, one colour per depth.

    Args:
        shares: Rows of `analyze.reach`: depth, capacity, parameters, reach, replicates, reached, share, low, high;
            fractions; and `recommended`, whether that is the network recommended of the family.
        dataset: Name of the dataset.
        family: Name of the family.
    """
    depths = shares["depth"].unique().sort().to_list()
    target = percent(float(shares["reach"][0]))
    x = parts.size_axis(family, "capacity", shares)
    base = parts.named("cells").transform_filter(parts.VISIBLE).encode(x=x, color=parts.depth_colour(depths, family))

    def y(field: str) -> alt.Y:
        return parts.vertical_axis(field, f"Trainings that reach {target}", format="~%")

    tooltip = [
        alt.Tooltip("share:Q", title=f"Trainings that reach {target}", format=".0%"),
        alt.Tooltip("reached:Q", title="how many did"),
        alt.Tooltip("replicates:Q", title="of so many"),
        alt.Tooltip("low:Q", title="of all trainings at least (95% confidence)", format=".1%"),
        alt.Tooltip("high:Q", title="at most (95% confidence)", format=".1%"),
        *parts.size_tips(family),
    ]
    return parts.figure(
        [
            base.mark_area(opacity=0.14, clip=True).encode(y=y("low"), y2="high:Q"),
            base.mark_line(strokeWidth=2, clip=True).encode(y=y("share")),
            parts.named("cells")
            .transform_filter(f"datum.recommended && {parts.VISIBLE}")
            .mark_point(filled=False, size=190, strokeWidth=2, opacity=1, style="crossing", aria=False)
            .encode(x=x, y=y("share")),
            base.mark_point(filled=True, size=46, opacity=1, clip=True).encode(
                y=y("share"), shape=parts.depth_shape(depths, family), tooltip=tooltip
            ),
        ],
        {"cells": shares},
        title=f"{dataset_name(dataset)}, {FAMILIES[family]}: share of trainings that reach {target}",
        subtitle=[
            "Lines: share seen; bands: what it may be of all trainings, each end with 95% confidence (exact).",
            *(["Ring: the recommended network."] if shares["recommended"].any() else []),
        ],
        alternative=describe(shares, dataset=dataset, family=family),
        x=parts.size_window("capacity", shares),
        y=SHARE,
        depths=depths,
    )


def describe(shares: pl.DataFrame, *, dataset: str, family: str) -> str:
    """Return the figure in words, for those who cannot see it."""
    target = percent(float(shares["reach"][0]))
    sentences = [
        f"Share of trainings on {dataset_name(dataset)} that reach {target} over {CAPACITIES[family].lower()}."
    ]
    for depth in shares["depth"].unique().sort().to_list():
        curve = shares.filter(pl.col("depth") == depth).sort("capacity")
        first, last = curve.row(0, named=True), curve.row(-1, named=True)
        sentences.append(
            f"With {depth_name(family, depth)}: {first['reached']} of {first['replicates']} at {first['capacity']:,}, "
            f"{last['reached']} of {last['replicates']} at {last['capacity']:,}, where the share of all trainings is "
            f"at least {percent(last['low'], 0)}."
        )
    return " ".join(sentences)
