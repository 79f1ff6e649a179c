"""32-bit and 8-bit accuracy over size, and the gap between them: the third panels of the paper's Figures 3-5."""

from __future__ import annotations

import altair as alt
import polars as pl

from reports.charts import parts
from reports.charts.vocabulary import CAPACITIES, FAMILIES, GAP, dataset_name, depth_name

GAP_COLUMNS = ["depth", "capacity", "parameters", "replicates", "gap", "ci_low", "ci_high", "dead_fp32", "dead_int8"]


def accuracies(precisions: pl.DataFrame, *, dataset: str, family: str, chance: float) -> parts.Drawing:
    """Return mean test accuracy over capacity in 32 and in 8 bits, one colour per depth.

    Args:
        precisions: One row per depth, capacity and precision (`fp32`, `int8`): depth, capacity, parameters, precision,
            n, mean, sd, ci_low, ci_high; fractions.
        dataset: Name of the dataset.
        family: Name of the family.
        chance: Accuracy of guessing, a fraction.
    """
    depths = precisions["depth"].unique().sort().to_list()
    x = parts.size_axis(family, "capacity", precisions)
    base = parts.named("cells").transform_filter(parts.VISIBLE).encode(x=x, color=parts.depth_colour(depths, family))
    dash = alt.StrokeDash("precision:N", legend=alt.Legend(title="Precision")).scale(
        domain=["fp32", "int8"], range=[[1, 0], [5, 3]]
    )
    mean = parts.accuracy_axis("mean")
    tooltip = [
        alt.Tooltip("precision:N", title="Precision"),
        *parts.mean_tips(),
        *parts.size_tips(family),
        alt.Tooltip("n:Q", title="replicates"),
    ]
    return parts.figure(
        [
            parts.chosen_capacity(x),
            *parts.chance_line(chance),
            parts.band(base)
            .mark_area(opacity=0.1, clip=True)
            .encode(y=parts.accuracy_axis("sd_low"), y2=alt.Y2("sd_high:Q"), detail=alt.Detail("precision:N")),
            base.mark_line(strokeWidth=2, clip=True).encode(y=mean, strokeDash=dash),
            base.mark_point(filled=True, size=42, opacity=1, clip=True, cursor="pointer").encode(
                y=mean, shape=parts.depth_shape(depths, family), tooltip=tooltip
            ),
        ],
        {"cells": precisions},
        title=f"{dataset_name(dataset)}, {FAMILIES[family]}: test accuracy in 32 and in 8 bits",
        subtitle=[
            "Solid: 32-bit; dashed: trained for 8-bit weights and activations.",
            "Lines: mean over replicates; bands: one standard deviation.",
        ],
        alternative=f"Mean test accuracy on {dataset_name(dataset)} over {CAPACITIES[family].lower()}, "
        f"in 32 bits and in 8 bits, for {_depths(family, depths)}.",
        x=parts.size_window("capacity", precisions),
        depths=depths,
        chosen=0,
    )


def gap(gaps: pl.DataFrame, *, dataset: str, family: str) -> parts.Drawing:
    """Return the paired gap, 32-bit minus 8-bit accuracy, over capacity with its 95% interval, one colour per depth.

    Args:
        gaps: Rows of `analyze.quantization`: depth, capacity, parameters, replicates, gap, ci_low, ci_high, dead_fp32,
            dead_int8; fractions. Those without a gap, for too few living replicates, are not drawn.
        dataset: Name of the dataset.
        family: Name of the family.
    """
    gaps = gaps.filter(pl.col("gap").is_not_null()).select(GAP_COLUMNS)
    depths = gaps["depth"].unique().sort().to_list()
    x = parts.size_axis(family, "capacity", gaps)
    base = parts.named("cells").transform_filter(parts.VISIBLE).encode(x=x, color=parts.depth_colour(depths, family))

    def y(field: str) -> alt.Y:
        return parts.vertical_axis(field, GAP, format="~%")

    tooltip = [
        alt.Tooltip("gap:Q", title=GAP, format="+.2%"),
        alt.Tooltip("ci_low:Q", title="95% interval from", format="+.2%"),
        alt.Tooltip("ci_high:Q", title="to", format="+.2%"),
        *parts.size_tips(family),
        alt.Tooltip("replicates:Q", title="replicates alive in both"),
        alt.Tooltip("dead_fp32:Q", title="dead in 32 bits"),
        alt.Tooltip("dead_int8:Q", title="dead in 8 bits"),
    ]
    zero = parts.named("one").mark_rule(style="reference", clip=True).encode(y=alt.Y(datum=0, type="quantitative"))
    widest = gaps.sort("capacity").row(-1, named=True)
    return parts.figure(
        [
            parts.chosen_capacity(x),
            zero,
            base.mark_rule(strokeWidth=1.5, clip=True).encode(y=y("ci_low"), y2=alt.Y2("ci_high:Q")),
            base.mark_line(strokeWidth=2, clip=True).encode(y=y("gap")),
            base.mark_point(filled=True, size=46, opacity=1, clip=True, cursor="pointer").encode(
                y=y("gap"), shape=parts.depth_shape(depths, family), tooltip=tooltip
            ),
        ],
        {"cells": gaps},
        title=f"{dataset_name(dataset)}, {FAMILIES[family]}: accuracy lost to 8 bits",
        subtitle=["Runs paired by replicate, alive in both; bars: 95% interval of the mean gap."],
        alternative=f"Gap between 32-bit and 8-bit test accuracy on {dataset_name(dataset)} over "
        f"{CAPACITIES[family].lower()}, for {_depths(family, depths)}. "
        f"At {widest['capacity']:,} with {depth_name(family, widest['depth'])}: {100 * widest['gap']:+.2f} points.",
        x=parts.size_window("capacity", gaps),
        y=_window(gaps),
        depths=depths,
        chosen=0,
    )


def _window(gaps: pl.DataFrame) -> parts.Window:
    """Return a window on all gaps, their intervals and zero, with a little room."""
    ends = [0.0, *(value for name in ("gap", "ci_low", "ci_high") for value in gaps[name].drop_nulls())]
    room = 0.06 * (max(ends) - min(ends)) or 0.01
    return parts.Window("gap", min(ends) - room, max(ends) + room)


def _depths(family: str, depths: list[int]) -> str:
    return ", ".join(depth_name(family, depth) for depth in depths)
