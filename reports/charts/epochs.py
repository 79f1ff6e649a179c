"""Learning curves of one capacity, with the epoch from which test loss rises again."""

from __future__ import annotations

from typing import Literal

import altair as alt
import polars as pl

from reports.charts import parts
from reports.charts.vocabulary import FAMILIES, LOSS, SHORT_CAPACITIES, dataset_name

Quantity = Literal["loss", "accuracy"]
ONSET = ["depth", "capacity", "best_epoch", "rise", "ci_low", "ci_high", "p_holm"]
AT_CHOSEN = f"datum.capacity === chosen && {parts.VISIBLE}"


def epochs(
    curves: pl.DataFrame,
    onsets: pl.DataFrame,
    *,
    dataset: str,
    family: str,
    chosen: int,
    quantity: Quantity = "loss",
) -> parts.Drawing:
    """Return mean training and test loss (or accuracy) over epochs at one capacity, one colour per depth.

    Args:
        curves: One row per depth, capacity, epoch and split (`train`, `test`): depth, capacity, epoch, split, loss,
            accuracy.
        onsets: One row per depth and capacity whose test loss rises before training ends: depth, capacity,
            best_epoch, rise, ci_low, ci_high (nats), p_holm.
        dataset: Name of the dataset.
        family: Name of the family.
        chosen: The capacity shown until another is chosen.
        quantity: What the vertical axis shows.
    """
    depths = curves["depth"].unique().sort().to_list()
    last = int(curves.select(pl.col("epoch").max()).item())
    x = parts.linear_axis("epoch", "Epoch", format="d", tickMinStep=1)
    colour = parts.depth_colour(depths, family)
    loss = parts.vertical_axis("loss", LOSS)
    y = loss if quantity == "loss" else parts.accuracy_axis("accuracy", "Accuracy")
    dash = alt.StrokeDash("split:N", legend=alt.Legend(title="Split")).scale(
        domain=["test", "train"], range=[[1, 0], [2, 3]]
    )
    lines = (
        parts.named("curves")
        .transform_filter(AT_CHOSEN)
        .mark_line(strokeWidth=2, clip=True)
        .encode(x=x, y=y, color=colour, strokeDash=dash)
    )
    hover = (
        parts.named("curves")
        .transform_filter(AT_CHOSEN)
        .mark_point(filled=True, size=22, clip=True)
        .encode(
            x=x,
            y=y,
            color=colour,
            shape=parts.depth_shape(depths, family),
            tooltip=[
                *parts.size_tips(family, "depth", "capacity"),
                alt.Tooltip("epoch:Q", title="Epoch"),
                alt.Tooltip("split:N", title="Split"),
                alt.Tooltip("loss:Q", title=LOSS, format=".4f"),
                alt.Tooltip("accuracy:Q", title="Accuracy", format=".2%"),
            ],
        )
    )
    onset = (
        parts.named("onsets")
        .transform_filter(AT_CHOSEN)
        .mark_rule(strokeWidth=1.6, strokeDash=[1.5, 3], clip=True)
        .encode(
            x=parts.at(x, "best_epoch"),
            color=colour,
            tooltip=[
                alt.Tooltip("best_epoch:Q", title="test loss rises after epoch"),
                alt.Tooltip("rise:Q", title="rise by the end, nats", format=".4f"),
                alt.Tooltip("ci_low:Q", title="95% interval from", format=".4f"),
                alt.Tooltip("ci_high:Q", title="to", format=".4f"),
                alt.Tooltip("p_holm:Q", title="p, adjusted", format=".3f"),
            ],
        )
    )
    rising = len(onsets)
    return parts.figure(
        [*([onset] if rising else []), lines, hover],
        {"curves": curves, "onsets": onsets.select(ONSET)},
        title=f"{dataset_name(dataset)}, {FAMILIES[family]}: learning curves",
        subtitle=[
            f"Solid: test; dotted: training; means over replicates, {SHORT_CAPACITIES[family]} as chosen.",
            *(["Vertical dots: best epoch, where test loss rises significantly afterwards."] if rising else []),
        ],
        alternative=f"Mean training and test {quantity} on {dataset_name(dataset)} over epochs, "
        f"{SHORT_CAPACITIES[family]} {chosen}. Test loss rises again before the end in {rising} of "
        f"{curves.select('depth', 'capacity').n_unique()} architectures.",
        x=parts.Window("epoch", 1, max(last, 2)),
        y=_losses(curves) if quantity == "loss" else parts.ACCURACY,
        depths=depths,
        chosen=chosen,
    )


def _losses(curves: pl.DataFrame) -> parts.Window:
    """Return a window from zero to the highest loss of each capacity, with a little room."""
    highest = curves.group_by("capacity", maintain_order=True).agg(1.04 * pl.col("loss").max().fill_null(1))
    highs = {int(capacity): round(float(high), 4) for capacity, high in highest.iter_rows()}
    return parts.Window("loss", 0, max(highs.values()), highs=highs)
