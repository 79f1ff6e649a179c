"""Test accuracy over the share of weights pruned: the second panels of the paper's Figures 3-5."""

from __future__ import annotations

import altair as alt
import polars as pl

from reports.charts import parts
from reports.charts.vocabulary import FAMILIES, SHORT_CAPACITIES, dataset_name, depth_name, percent

AT_CHOSEN = f"datum.capacity === chosen && {parts.VISIBLE}"


def pruning(curves: pl.DataFrame, *, dataset: str, family: str, chance: float, chosen: int) -> parts.Drawing:
    """Return mean test accuracy over sparsity at one capacity, one colour per depth; other capacities as thin lines.

    Args:
        curves: One row per depth, capacity and sparsity: depth, capacity, parameters, sparsity, n, mean, sd, ci_low,
            ci_high; fractions.
        dataset: Name of the dataset.
        family: Name of the family.
        chance: Accuracy of guessing, a fraction.
        chosen: The capacity shown until another is chosen.
    """
    depths = curves["depth"].unique().sort().to_list()
    x = alt.X(
        "sparsity:Q",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(title="Weights pruned", format=".0%", tickCount=6),
    )
    tooltip = [
        alt.Tooltip("depth:Q", title="depth"),
        alt.Tooltip("capacity:Q", title="capacity", format=","),
        alt.Tooltip("sparsity:Q", title="pruned", format=".0%"),
        alt.Tooltip("mean:Q", title="mean accuracy", format=".2%"),
        alt.Tooltip("sd:Q", title="standard deviation", format=".2%"),
        alt.Tooltip("n:Q", title="replicates"),
    ]
    others = (
        parts.named("curves")
        .transform_filter(f"datum.capacity !== chosen && {parts.VISIBLE}")
        .mark_line(style="context", clip=True)
        .encode(x=x, y=parts.accuracy_axis("mean"), detail=["depth:N", "capacity:N"])
    )
    return parts.figure(
        [
            *parts.chance_line(chance, label_at="start"),
            *([others] if len(depths) == 1 else []),
            *parts.curve_layers("curves", x, depths, family, tooltip, AT_CHOSEN),
        ],
        {"curves": curves},
        title=f"{dataset_name(dataset)}, {FAMILIES[family]}: test accuracy over pruning ratio",
        subtitle=[
            f"Smallest weights of the whole network removed, no retraining; {SHORT_CAPACITIES[family]} as chosen."
            + (" Thin lines: other sizes." if len(depths) == 1 else ""),
            "Lines: mean over replicates; bands: one standard deviation; bars: 95% interval of the mean.",
        ],
        alternative=_describe(curves, dataset, family, chosen),
        depths=depths,
        chosen=chosen,
    )


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
