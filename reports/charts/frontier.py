"""Accuracy against what networks take: stored bytes, multiply-accumulates, bytes of activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import altair as alt
import polars as pl

from analyze.questions.costs import NOUNS
from reports.charts import parts
from reports.charts.vocabulary import FAMILIES, dataset_name, percent

if TYPE_CHECKING:
    from store.designs import By

TITLES: Mapping[By, str] = {
    "bytes": "Stored bytes",
    "macs": "Multiply-accumulates of an inference",
    "ram": "Bytes of activations alive at once",
    "parameters": "Parameters left",
}
WORDS: Mapping[By, str] = {**NOUNS, "bytes": "stored bytes"}


def frontier(forms: pl.DataFrame, by: By, *, dataset: str, family: str, chance: float) -> parts.Drawing:
    """Return accuracy against what forms take: the best at each cost, with the whole networks in fp32 behind.

    Args:
        forms: Rows of `analyze.frontier` by that cost: depth, capacity, parameters, form, bytes, macs or ram, mean,
            ci_low, ci_high, best, rivals, replicates; fractions. Those that are neither best nor whole in fp32 are not
            drawn.
        by: The cost.
        dataset: Name of the dataset.
        family: Name of the family.
        chance: Accuracy of guessing, a fraction.
    """
    drawn = forms.filter(pl.col("best") | (pl.col("form") == "fp32")).select(
        "depth", "capacity", "parameters", "form", by, "mean", "ci_low", "ci_high", "best", "rivals", "replicates"
    )
    depths = drawn["depth"].unique().sort().to_list()
    scale = alt.Scale(type="log", domain=[alt.ExprRef("left"), alt.ExprRef("right")], nice=False)
    x = alt.X(f"{by}:Q", scale=scale, axis=alt.Axis(title=TITLES[by], format="~s", tickCount=6))
    colour, shape = parts.depth_colour(depths, family), parts.depth_shape(depths, family)
    best = parts.named("forms").transform_filter("datum.best")
    seen = best.transform_filter(parts.VISIBLE).encode(x=x, color=colour)
    whole = parts.named("forms").transform_filter(f"datum.form === 'fp32' && !datum.best && {parts.VISIBLE}")
    mean = parts.accuracy_axis("mean")
    tooltip = [
        alt.Tooltip("form:N", title="Form"),
        alt.Tooltip(f"{by}:Q", title=TITLES[by], format=","),
        alt.Tooltip("mean:Q", title="Test accuracy, mean", format=".2%"),
        alt.Tooltip("ci_low:Q", title="simultaneous interval from", format=".2%"),
        alt.Tooltip("ci_high:Q", title="to", format=".2%"),
        alt.Tooltip("rivals:Q", title="not shown to be worse, of those that take no more"),
        *parts.size_tips(family),
        alt.Tooltip("replicates:Q", title="replicates"),
    ]
    return parts.figure(
        [
            *parts.chance_line(chance),
            best.mark_line(style="context", interpolate="step-after", clip=True).encode(
                x=x, y=mean, order=alt.Order(f"{by}:Q")
            ),
            whole.mark_point(filled=False, size=28, opacity=0.7, clip=True).encode(
                x=x, y=mean, color=colour, shape=shape, tooltip=tooltip
            ),
            seen.mark_rule(strokeWidth=1, opacity=0.45, clip=True).encode(
                y=parts.accuracy_axis("ci_low"), y2=alt.Y2("ci_high:Q")
            ),
            seen.mark_point(filled=True, size=46, opacity=1, clip=True).encode(y=mean, shape=shape, tooltip=tooltip),
        ],
        {"forms": drawn},
        title=f"{dataset_name(dataset)}, {FAMILIES[family]}: accuracy against {WORDS[by]}",
        subtitle=[
            "Filled: the most accurate form of all that take no more; hollow: other whole networks in 32 bits.",
            f"Bars: intervals of {forms['forms'][0]:,} forms that hold together at 95%.",
        ],
        alternative=_in_words(drawn, by, dataset),
        x=parts.Window(by, float(drawn[by].min()) / 1.12, float(drawn[by].max()) * 1.12, log=True),  # type: ignore[arg-type]
        depths=depths,
    )


def _in_words(drawn: pl.DataFrame, by: By, dataset: str) -> str:
    best = drawn.filter("best").sort(by)
    some = best.gather_every(max(1, len(best) // 6))
    said = "; ".join(
        f"{percent(row['mean'])} with {row[by]:,} {NOUNS[by]} ({row['form']})" for row in some.iter_rows(named=True)
    )
    return f"Test accuracy on {dataset_name(dataset)} against {WORDS[by]}, the best forms: {said}."
