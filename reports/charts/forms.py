"""Forms of networks: accuracy lost down the bits, fine-tuned beside one-shot pruning."""

from __future__ import annotations

import json

import altair as alt
import polars as pl

from reports.charts import parts
from reports.charts.vocabulary import FAMILIES, PRUNED, SHORT_CAPACITIES, dataset_name, depth_name, percent, points

AT_CHOSEN = f"datum.capacity === chosen && {parts.VISIBLE}"
LOST = "Accuracy lost against fp32"
APART = 0.07
"""Distance of depths at a step, in steps."""


def bits(steps: pl.DataFrame, *, dataset: str, family: str, chosen: int) -> parts.Drawing:
    """Return the loss of accuracy at every step down the bits, at one capacity, with its interval; a colour per depth.

    Args:
        steps: Rows of `analyze.bit_steps` of one way to quantize: depth, capacity, parameters, quantization, step,
            bits, verdict, loss, ci_low, ci_high, dead, replicates; fractions. Those without a loss are not drawn.
        dataset: Name of the dataset.
        family: Name of the family.
        chosen: The capacity shown until another is chosen.
    """
    # Networks may lack steps: the widest bits first, whatever network has them.
    order = dict.fromkeys(steps.sort("weight_bits", "activation_bits", descending=True)["bits"])
    steps = steps.filter(pl.col("loss").is_not_null()).select(
        "depth", "capacity", "parameters", "bits", "verdict", "loss", "ci_low", "ci_high", "dead", "replicates"
    )
    measured = set(steps["bits"])
    names = [name for name in order if name in measured]
    places = {name: place for place, name in enumerate(names, 1)}
    depths = steps["depth"].unique().sort().to_list()
    # Depths stand side by side: their intervals would hide one another.
    aside = {depth: APART * (index - (len(depths) - 1) / 2) for index, depth in enumerate(depths)}
    steps = steps.with_columns(
        place=pl.col("bits").replace_strict(places, return_dtype=pl.Float64)
        + pl.col("depth").replace_strict(aside, return_dtype=pl.Float64)
    )
    label = f"{json.dumps(names)}[datum.value - 1]"
    x = parts.linear_axis("place", "Bits", values=list(places.values()), labelExpr=label, grid=False)
    base = parts.named("steps").transform_filter(AT_CHOSEN).encode(x=x, color=parts.depth_colour(depths, family))

    def y(field: str) -> alt.Y:
        return parts.vertical_axis(field, LOST, format="~%")

    tooltip = [
        alt.Tooltip("bits:N", title="Bits"),
        alt.Tooltip("loss:Q", title=LOST, format="+.2%"),
        alt.Tooltip("ci_low:Q", title="simultaneous interval from", format="+.2%"),
        alt.Tooltip("ci_high:Q", title="to", format="+.2%"),
        alt.Tooltip("verdict:N", title="within the margin"),
        *parts.size_tips(family),
        alt.Tooltip("replicates:Q", title="replicates alive in fp32"),
        alt.Tooltip("dead:Q", title="of these dead here"),
    ]
    zero = parts.named("one").mark_rule(style="reference", clip=True).encode(y=alt.Y(datum=0, type="quantitative"))
    return parts.figure(
        [
            zero,
            base.mark_rule(strokeWidth=1.5, clip=True).encode(y=y("ci_low"), y2=alt.Y2("ci_high:Q")),
            base.mark_line(strokeWidth=2, clip=True).encode(y=y("loss")),
            base.mark_point(filled=True, size=46, opacity=1, clip=True, cursor="pointer").encode(
                y=y("loss"), shape=parts.depth_shape(depths, family), tooltip=tooltip
            ),
        ],
        {"steps": steps},
        title=f"{dataset_name(dataset)}, {FAMILIES[family]}: accuracy lost to fewer bits",
        subtitle=[
            f"Runs paired by replicate with fp32, alive there; {SHORT_CAPACITIES[family]} as chosen.",
            "Bars: 95% intervals that hold together over the steps of a network.",
        ],
        alternative=_in_words(steps, dataset, family, chosen),
        x=parts.Window("bits", 0.6, len(names) + 0.4),
        y=_window("lost", steps, "loss", "ci_low", "ci_high"),
        depths=depths,
        chosen=chosen,
    )


def _in_words(steps: pl.DataFrame, dataset: str, family: str, chosen: int) -> str:
    sentences = [f"Accuracy lost down the bits on {dataset_name(dataset)}, {SHORT_CAPACITIES[family]} {chosen}."]
    for (depth,), rows in steps.filter(pl.col("capacity") == chosen).group_by("depth", maintain_order=True):
        said = ", ".join(f"{points(row['loss'])} points at {row['bits']}" for row in rows.iter_rows(named=True))
        sentences.append(f"With {depth_name(family, int(str(depth)))}: {said}.")
    return " ".join(sentences)


def finetuning(treated: pl.DataFrame, *, dataset: str, family: str, chosen: int) -> parts.Drawing:
    """Return mean accuracy of fine-tuned and one-shot pruning over sparsity, at one capacity; a colour per depth.

    Args:
        treated: Rows of `analyze.finetuned_networks` against one-shot, of magnitude pruning in fp32: depth, capacity,
            parameters, sparsity, finetune_epochs, mean, against_mean, difference, ci_low, ci_high, verdict, replicates;
            fractions.
        dataset: Name of the dataset.
        family: Name of the family.
        chosen: The capacity shown until another is chosen.
    """
    treated = treated.filter(pl.col("difference").is_not_null()).select(
        "depth",
        "capacity",
        "parameters",
        "sparsity",
        "finetune_epochs",
        "mean",
        "against_mean",
        "difference",
        "verdict",
        "replicates",
        low=pl.col("against_mean") + pl.col("ci_low"),
        high=pl.col("against_mean") + pl.col("ci_high"),
    )
    depths = treated["depth"].unique().sort().to_list()
    x = parts.linear_axis("sparsity", PRUNED, format="~%", tickCount=6)
    base = parts.named("treated").transform_filter(AT_CHOSEN).encode(x=x, color=parts.depth_colour(depths, family))
    tooltip = [
        *parts.size_tips(family),
        alt.Tooltip("sparsity:Q", title=PRUNED, format=".0%"),
        alt.Tooltip("mean:Q", title="Test accuracy, fine-tuned", format=".2%"),
        alt.Tooltip("against_mean:Q", title="one-shot", format=".2%"),
        alt.Tooltip("difference:Q", title="won", format="+.2%"),
        alt.Tooltip("verdict:N", title="over all networks"),
        alt.Tooltip("finetune_epochs:Q", title="epochs of fine-tuning"),
        alt.Tooltip("replicates:Q", title="replicates"),
    ]
    detail = alt.Detail("finetune_epochs:N")
    return parts.figure(
        [
            base.mark_line(strokeWidth=1.6, strokeDash=[5, 3], clip=True).encode(
                y=parts.accuracy_axis("against_mean"), detail=detail
            ),
            base.mark_rule(strokeWidth=1.5, clip=True).encode(y=parts.accuracy_axis("low"), y2=alt.Y2("high:Q")),
            base.mark_line(strokeWidth=2, clip=True).encode(y=parts.accuracy_axis("mean"), detail=detail),
            base.mark_point(filled=True, size=46, opacity=1, clip=True, cursor="pointer").encode(
                y=parts.accuracy_axis("mean"), shape=parts.depth_shape(depths, family), tooltip=tooltip
            ),
        ],
        {"treated": treated},
        title=f"{dataset_name(dataset)}, {FAMILIES[family]}: fine-tuned and one-shot pruning",
        subtitle=[
            f"Solid: trained on after pruning; dashed: not. By magnitude; {SHORT_CAPACITIES[family]} as chosen.",
            "Bars: one-shot accuracy plus the 95% interval of what fine-tuning wins, paired by replicate.",
        ],
        alternative=_won(treated, dataset, family, chosen),
        x=parts.Window("sparsity", 0, 1),
        depths=depths,
        chosen=chosen,
    )


def _won(treated: pl.DataFrame, dataset: str, family: str, chosen: int) -> str:
    sentences = [
        f"Test accuracy on {dataset_name(dataset)} of pruned networks, fine-tuned and not, "
        f"{SHORT_CAPACITIES[family]} {chosen}."
    ]
    for row in treated.filter(pl.col("capacity") == chosen).iter_rows(named=True):
        sentences.append(
            f"With {depth_name(family, row['depth'])}, {percent(row['sparsity'], 0)} pruned: {percent(row['mean'])} "
            f"against {percent(row['against_mean'])}."
        )
    return " ".join(sentences)


def _window(name: str, rows: pl.DataFrame, *columns: str) -> parts.Window:
    """Return a window on all values and zero, with a little room."""
    ends = [0.0, *(value for column in columns for value in rows[column].drop_nulls())]
    room = 0.06 * (max(ends) - min(ends)) or 0.01
    return parts.Window(name, min(ends) - room, max(ends) + room)
