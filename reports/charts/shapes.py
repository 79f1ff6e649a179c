"""Test accuracy of every topology over size: the paper's Figure 2b."""

from __future__ import annotations

import altair as alt
import polars as pl

from reports.charts import parts
from reports.charts.convergence import Axis
from reports.charts.vocabulary import FAMILIES, dataset_name, depth_name

ARROWS = {"+": "wider", "-": "narrower", "=": "equal"}


def shapes(
    topologies: pl.DataFrame, *, dataset: str, family: str, chance: float, axis: Axis = "parameters"
) -> parts.Drawing:
    """Return one thin line per topology, coloured by depth: where lines of a colour meet, shape does not matter.

    Args:
        topologies: One row per depth, capacity and shape: depth, capacity, shape, parameters, n, mean, sd; fractions.
        dataset: Name of the dataset.
        family: Name of the family.
        chance: Accuracy of guessing, a fraction.
        axis: What the horizontal axis shows.
    """
    depths = topologies["depth"].unique().sort().to_list()
    x = parts.size_axis(family, axis, topologies)
    steps = pl.col("shape").str.replace_many(list(ARROWS), [f"{word}, " for word in ARROWS.values()])
    frame = topologies.with_columns(steps.str.strip_chars_end(", ").alias("steps"))
    mean = parts.accuracy_axis("mean")
    base = (
        parts.named("cells")
        .transform_filter(parts.VISIBLE)
        .encode(x=x, y=mean, color=parts.depth_colour(depths, family))
    )
    tooltip = [
        *parts.size_tips(family),
        alt.Tooltip("steps:N", title="layers grow"),
        *parts.mean_tips(),
        alt.Tooltip("n:Q", title="replicates"),
    ]
    counts = topologies.group_by("depth", maintain_order=True).agg(pl.col("shape").n_unique())
    listed = ", ".join(f"{n} with {depth_name(family, depth)}" for depth, n in counts.iter_rows())
    return parts.figure(
        [
            *parts.chance_line(chance),
            base.mark_line(strokeWidth=1, opacity=0.4, clip=True).encode(detail=alt.Detail("shape:N")),
            base.mark_point(filled=True, size=26, opacity=0.75, clip=True).encode(
                shape=parts.depth_shape(depths, family), tooltip=tooltip
            ),
        ],
        {"cells": frame},
        title=f"{dataset_name(dataset)}, {FAMILIES[family]}: test accuracy of every topology",
        subtitle=["One line per topology: mean over replicates. Cells that the ladder's ends cut short are left out."],
        alternative=f"Mean test accuracy on {dataset_name(dataset)} over size, one line per topology: {listed}.",
        x=parts.size_window(axis, topologies),
        depths=depths,
    )
