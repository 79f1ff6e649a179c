"""Test accuracy over the share of weights pruned: the second panels of the paper's Figures 3-5."""

from __future__ import annotations

import altair as alt
import polars as pl

from reports.charts import parts
from reports.charts.vocabulary import DEPTHS, FAMILIES, PRUNED, SHORT_CAPACITIES, dataset_name, depth_name, percent

PHASES = ("plateau_end", "floor_start")
SAFETY = ["safe_sparsity", *(f"{phase}{end}" for phase in PHASES for end in ("", "_low", "_high"))]
CROSSING = ["capacity", "shallower", "deeper", "sparsity", "ci_low", "ci_high", "accuracy"]
AT_CHOSEN = f"datum.capacity === chosen && {parts.VISIBLE}"


def pruning(
    curves: pl.DataFrame,
    safety: pl.DataFrame,
    crossings: pl.DataFrame,
    *,
    dataset: str,
    family: str,
    chance: float,
    chosen: int,
) -> parts.Drawing:
    """Return mean test accuracy over sparsity at one capacity, one colour per depth; other capacities as thin lines.

    Args:
        curves: One row per depth, capacity and sparsity: depth, capacity, parameters, sparsity, n, mean, sd, ci_low,
            ci_high; fractions.
        safety: Rows of `analyze.pruning`: depth, capacity, safe_sparsity, plateau_end, floor_start and the
            ends of their intervals; null where not found.
        crossings: Rows of `analyze.depth_crossings` that were found: capacity, shallower, deeper, sparsity, ci_low,
            ci_high, accuracy.
        dataset: Name of the dataset.
        family: Name of the family.
        chance: Accuracy of guessing, a fraction.
        chosen: The capacity shown until another is chosen.
    """
    depths = curves["depth"].unique().sort().to_list()
    x = parts.linear_axis("sparsity", PRUNED, format="~%", tickCount=6)
    tooltip = [
        *parts.size_tips(family),
        alt.Tooltip("sparsity:Q", title=PRUNED, format=".0%"),
        *parts.mean_tips(),
        alt.Tooltip("n:Q", title="replicates"),
    ]
    others = (
        parts.named("curves")
        .transform_filter(f"datum.capacity !== chosen && {parts.VISIBLE}")
        .mark_line(style="context", clip=True)
        .encode(x=x, y=parts.accuracy_axis("mean"), detail=[alt.Detail("depth:N"), alt.Detail("capacity:N")])
    )
    return parts.figure(
        [
            *parts.chance_line(chance, label_at="start"),
            *([others] if len(depths) == 1 else []),
            *_phase_layers(x, depths, family),
            *parts.curve_layers("curves", x, depths, family, tooltip, AT_CHOSEN),
            *([_crossing_layer(x, family)] if len(crossings) else []),
        ],
        {"curves": curves, "safety": _places(safety, depths), "crossings": crossings.select(CROSSING)},
        title=f"{dataset_name(dataset)}, {FAMILIES[family]}: test accuracy over pruning ratio",
        subtitle=[
            f"Smallest weights of the whole network removed, no retraining; {SHORT_CAPACITIES[family]} as chosen."
            + (" Thin lines: other sizes." if len(depths) == 1 else ""),
            "Dashed: safe ratio, non-inferior within 1 point. Shaded, and bars at the foot: the decline to the floor."
            + (" Crosses: depths equally accurate." if len(crossings) else ""),
        ],
        alternative=_describe(curves, dataset, family, chosen),
        x=parts.Window("sparsity", 0, 1),
        depths=depths,
        chosen=chosen,
    )


def _places(safety: pl.DataFrame, depths: list[int]) -> pl.DataFrame:
    rows = {depth: place for place, depth in enumerate(reversed(depths))}
    place = pl.col("depth").replace_strict(rows, default=0, return_dtype=pl.Int64).alias("row")
    return safety.select("depth", "capacity", *SAFETY, place)


def _phase_layers(x: alt.X, depths: list[int], family: str) -> list[alt.Chart]:
    """Return the safe ratio as a line, and the decline as a faint band and as a bar in a row per depth at the foot."""
    tooltip = [
        *parts.size_tips(family, "depth"),
        alt.Tooltip("safe_sparsity:Q", title="safe ratio", format=".0%"),
        alt.Tooltip("plateau_end:Q", title="plateau ends at", format=".0%"),
        alt.Tooltip("plateau_end_low:Q", title="95% interval from", format=".0%"),
        alt.Tooltip("plateau_end_high:Q", title="to", format=".0%"),
        alt.Tooltip("floor_start:Q", title="floor begins at", format=".0%"),
        alt.Tooltip("floor_start_low:Q", title="95% interval from", format=".0%"),
        alt.Tooltip("floor_start_high:Q", title="to", format=".0%"),
    ]
    base = parts.named("safety").transform_filter(AT_CHOSEN).encode(color=parts.depth_colour(depths, family))
    phases = base.transform_filter("isValid(datum.plateau_end) && isValid(datum.floor_start)")
    decline = parts.at(x, "plateau_end")
    foot = alt.ExprRef(f"-6 - {parts.STRIP_ROW} * datum.row")
    safe = base.transform_filter("isValid(datum.safe_sparsity)")
    return [
        phases.mark_rect(opacity=alt.ExprRef("length(depths) > 1 ? 0.03 : 0.1"), clip=True).encode(
            x=decline, x2=alt.X2("floor_start:Q")
        ),
        phases.mark_rule(strokeWidth=5, opacity=0.45, strokeCap="round", yOffset=foot, clip=True).encode(
            x=decline, x2=alt.X2("floor_start:Q"), y=parts.foot(), tooltip=tooltip
        ),
        safe.mark_rule(strokeWidth=1.6, strokeDash=[6, 4], clip=True).encode(
            x=parts.at(x, "safe_sparsity"), tooltip=tooltip
        ),
    ]


def _crossing_layer(x: alt.X, family: str) -> alt.Chart:
    """Return a cross where two depths in sight are equally accurate: the dotted lines of the paper's Figure 3."""
    layer: alt.Chart = (
        parts.named("crossings")
        .transform_filter(
            "datum.capacity === chosen && indexof(depths, datum.shallower) >= 0 && indexof(depths, datum.deeper) >= 0"
        )
        .mark_point(shape="M-1,-1L1,1M-1,1L1,-1", size=60, strokeWidth=1.6, clip=True, style="crossing")
        .encode(
            x=x,
            y=parts.accuracy_axis("accuracy"),
            tooltip=[
                alt.Tooltip("shallower:Q", title=f"{DEPTHS[family][1].capitalize()} of one"),
                alt.Tooltip("deeper:Q", title="of the other"),
                alt.Tooltip("sparsity:Q", title=f"{PRUNED}, equally accurate", format=".1%"),
                alt.Tooltip("ci_low:Q", title="95% interval from", format=".1%"),
                alt.Tooltip("ci_high:Q", title="to", format=".1%"),
            ],
        )
    )
    return layer


def _describe(curves: pl.DataFrame, dataset: str, family: str, chosen: int) -> str:
    sentences = [
        f"Mean test accuracy on {dataset_name(dataset)} over the share of weights pruned, "
        f"{SHORT_CAPACITIES[family]} {chosen}."
    ]
    for (depth,), curve in curves.filter(pl.col("capacity") == chosen).group_by("depth", maintain_order=True):
        half = curve.filter(pl.col("sparsity") <= 0.5).sort("sparsity")
        first, middle = half.row(0, named=True), half.row(-1, named=True)
        sentences.append(
            f"With {depth_name(family, int(str(depth)))}: {percent(first['mean'])} at {percent(first['sparsity'], 0)}, "
            f"{percent(middle['mean'])} at {percent(middle['sparsity'], 0)}."
        )
    return " ".join(sentences)
