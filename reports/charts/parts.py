"""What the figures share: axes, the depth scale, the switches that the page turns, and titles."""

from __future__ import annotations

from typing import Literal

import altair as alt
import polars as pl

from reports.charts.vocabulary import CAPACITIES, DEPTHS

VISIBLE = "indexof(depths, datum.depth) >= 0"
WIDTH, HEIGHT = 620, 360
COLOURED_DEPTHS = 4


def size_axis(family: str, axis: Literal["capacity", "parameters"], cells: pl.DataFrame) -> alt.X:
    """Return the logarithmic size axis: a tick at every capacity of the grid, or at powers of ten of parameters."""
    low, high = float(cells[axis].min() or 1), float(cells[axis].max() or 1)  # type: ignore[arg-type]
    scale = alt.Scale(type="log", domain=[low / 1.12, high * 1.12], nice=False)
    if axis == "parameters":
        ticks = alt.Axis(title="Trainable parameters", format="~s", tickCount=5)
        return alt.X("parameters:Q", scale=scale, axis=ticks)
    values = cells["capacity"].unique().sort().to_list()
    return alt.X("capacity:Q", scale=scale, axis=alt.Axis(title=CAPACITIES[family], values=values, format="d"))


def accuracy_axis(field: str) -> alt.Y:
    """Return the axis of test accuracy, from 0 to 100%."""
    scale = alt.Scale(domain=[0, 1], nice=False)
    return alt.Y(f"{field}:Q", scale=scale, axis=alt.Axis(title="Test accuracy", format=".0%", tickCount=6))


def depth_colour(depths: list[int], family: str) -> alt.Color:
    """Return one fixed colour per depth, so that depth 2 has one colour in every figure."""
    return alt.Color("depth:N", scale=_depth_scale(depths), legend=_depth_legend(depths, family))


def depth_shape(depths: list[int], family: str) -> alt.Shape:
    """Return one fixed marker per depth: what the colour says, said again without colour."""
    return alt.Shape("depth:N", scale=_depth_scale(depths), legend=_depth_legend(depths, family))


def _depth_scale(depths: list[int]) -> alt.Scale:
    return alt.Scale(domain=list(range(1, max(COLOURED_DEPTHS, *depths) + 1)))


def _depth_legend(depths: list[int], family: str) -> alt.Legend:
    return alt.Legend(title=DEPTHS[family][1].capitalize(), values=depths, symbolOpacity=1)


def chance_line(chance: float) -> list[alt.Chart]:
    """Return the line of guessing and its label."""
    frame = alt.Chart(pl.DataFrame({"chance": [chance], "label": ["chance"]}))
    y = accuracy_axis("chance")
    return [
        frame.mark_rule(style="reference", clip=True).encode(y=y),
        frame.mark_text(style="reference-label", clip=True).encode(y=y, x=alt.value("width"), text="label:N"),
    ]


def chosen_capacity(cells: pl.DataFrame, x: alt.X) -> alt.Chart:
    """Return the line at the capacity chosen on the page; 0 means none."""
    sizes = cells.select("depth", "capacity", "parameters")
    chosen = alt.Chart(sizes).transform_filter(f"datum.capacity === chosen && {VISIBLE}")
    rule: alt.Chart = chosen.mark_rule(style="chosen", clip=True).encode(x=x)
    return rule


def figure(
    layers: list[alt.Chart],
    *,
    title: str,
    subtitle: list[str],
    alternative: str,
    depths: list[int],
    replicates: bool = False,
) -> alt.LayerChart:
    """Return the layers as one chart with a title, alternative text and the parameters that the page's controls set."""
    switches = {"depths": depths, "chosen": 0} | ({"replicates": False} if replicates else {})
    # All in one call: Altair forgets the parameters of an earlier one.
    chart = alt.LayerChart(layer=layers).add_params(*(alt.param(name=n, value=v) for n, v in switches.items()))
    return chart.properties(
        title=alt.TitleParams(title, subtitle=subtitle), description=alternative, width=WIDTH, height=HEIGHT
    )
