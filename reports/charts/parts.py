"""What the figures share: axes, the depth scale, the switches that the page turns, and titles."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import altair as alt
import polars as pl
from polars import selectors

from reports.charts.vocabulary import ACCURACY as ACCURACY_TITLE
from reports.charts.vocabulary import CAPACITIES, DEPTHS, PARAMETERS

VISIBLE = "indexof(depths, datum.depth) >= 0"
WIDTH, HEIGHT = 620, 360
COLOURED_DEPTHS = 4
LABEL_ROOM = 15
"""Pixels by which a label may reach over the end of its axis."""
STRIP_ROW = 7
"""Height in pixels of a row at the foot of a figure, below the accuracy of guessing, where intervals are drawn."""


@dataclass(frozen=True)
class Drawing:
    """Layers, what stands around them in a chart, and the frames that they name.

    They come together only in the dictionary: Altair would hold every row to Vega-Lite's schema, which takes minutes,
    and its `LayerChart` copies all layers deeply, again in every copy of itself, to share what ours do not have.
    """

    layers: Sequence[alt.Chart]
    surroundings: Mapping[str, Any]
    frames: Mapping[str, pl.DataFrame]

    def to_dict(self, *, validate: bool = True) -> dict[str, Any]:
        """Return the Vega-Lite specification with its rows; numbers are kept to five decimals.

        With `validate` Altair holds all but the rows to Vega-Lite's schema, which takes most of the time.
        """
        layers = [layer.to_dict(validate=False, context={"top_level": False}) for layer in self.layers]
        specification = {"$schema": alt.SCHEMA_URL, **self.surroundings, "layer": layers}
        if validate:
            alt.TopLevelLayerSpec.validate(specification)
        rounded = {name: frame.with_columns(selectors.float().round(5)) for name, frame in self.frames.items()}
        return {**specification, "datasets": {name: frame.to_dicts() for name, frame in rounded.items()}}


@dataclass(frozen=True)
class Window:
    """What an axis shows until a reader zooms: its ends, and the name that it shares with axes that follow it.

    `highs` has an upper end per capacity, where the figure shows one capacity at a time and they differ much.
    """

    group: str
    low: float
    high: float
    log: bool = False
    highs: Mapping[int, float] | None = None


ACCURACY = Window("accuracy", 0, 1)


def size_window(axis: Literal["capacity", "parameters"], cells: pl.DataFrame) -> Window:
    """Return the window of a size axis: all sizes, and a little room."""
    low, high = float(cells[axis].min() or 1), float(cells[axis].max() or 1)  # type: ignore[arg-type]
    return Window(axis, low / 1.12, high * 1.12, log=True)


def size_axis(family: str, axis: Literal["capacity", "parameters"], cells: pl.DataFrame) -> alt.X:
    """Return the logarithmic size axis: a tick at every capacity of the grid, or at powers of ten of parameters."""
    scale = alt.Scale(type="log", domain=[alt.ExprRef("left"), alt.ExprRef("right")], nice=False)
    if axis == "parameters":
        ticks = alt.Axis(title=PARAMETERS, format="~s", tickCount=5)
        return alt.X("parameters:Q", scale=scale, axis=ticks)
    values = cells["capacity"].unique().sort().to_list()
    # Vega draws ticks at given values even where they lie beside the axis.
    within: dict[str, Any] = {
        "condition": {"test": "datum.value >= left && datum.value <= right", "value": 1},
        "value": 0,
    }
    ticks = alt.Axis(title=CAPACITIES[family], values=values, format="d", labelBound=LABEL_ROOM, tickOpacity=within)
    return alt.X("capacity:Q", scale=scale, axis=ticks)


def linear_axis(field: str, title: str, **options: Any) -> alt.X:
    """Return a linear horizontal axis between the parameters `left` and `right`."""
    scale = alt.Scale(domain=[alt.ExprRef("left"), alt.ExprRef("right")], nice=False, zero=False)
    return alt.X(f"{field}:Q", scale=scale, axis=alt.Axis(title=title, **options))


def vertical_axis(field: str, title: str, **options: Any) -> alt.Y:
    """Return a vertical axis between the parameters `bottom` and `top`."""
    scale = alt.Scale(domain=[alt.ExprRef("bottom"), alt.ExprRef("top")], zero=False, nice=False)
    return alt.Y(f"{field}:Q", scale=scale, axis=alt.Axis(title=title, tickCount=6, **options))


def accuracy_axis(field: str, title: str = ACCURACY_TITLE) -> alt.Y:
    """Return the vertical axis of accuracy, in percent."""
    return vertical_axis(field, title, format="~%")


def size_tips(family: str, *fields: str) -> list[alt.Tooltip]:
    """Return what a tooltip says of depth, capacity and parameters (or of these fields), as axes and legend do."""
    titles = {"depth": DEPTHS[family][1].capitalize(), "capacity": CAPACITIES[family], "parameters": PARAMETERS}
    return [alt.Tooltip(f"{field}:Q", title=titles[field], format=",") for field in fields or titles]


def mean_tips() -> list[alt.Tooltip]:
    """Return what a tooltip says of a mean test accuracy and its spread."""
    return [
        alt.Tooltip("mean:Q", title=f"{ACCURACY_TITLE}, mean", format=".2%"),
        alt.Tooltip("sd:Q", title="standard deviation", format=".2%"),
    ]


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


def named(frame: str) -> alt.Chart:
    """Return a chart of one of the frames that `figure` is given by name."""
    return alt.Chart(alt.NamedData(frame))


def at(axis: alt.X, field: str) -> alt.X:
    """Return the axis with another field on it."""
    moved: alt.X = axis.copy(deep=False)
    moved.shorthand = f"{field}:Q"
    return moved


def band(base: alt.Chart) -> alt.Chart:
    """Return the chart with the fields `sd_low` and `sd_high`: mean and one standard deviation, within 0 and 1."""
    with_ends: alt.Chart = base.transform_filter("isValid(datum.sd)").transform_calculate(
        sd_low="max(0, datum.mean - datum.sd)", sd_high="min(1, datum.mean + datum.sd)"
    )
    return with_ends


def curve_layers(
    frame: str, x: alt.X, depths: list[int], family: str, tooltip: list[alt.Tooltip], where: str = VISIBLE
) -> list[alt.Chart]:
    """Return a curve per depth: band of one standard deviation, bars of the mean's interval, line and markers."""
    base = named(frame).transform_filter(where).encode(x=x, color=depth_colour(depths, family))
    mean = accuracy_axis("mean")
    return [
        band(base).mark_area(opacity=0.16, clip=True).encode(y=accuracy_axis("sd_low"), y2=alt.Y2("sd_high:Q")),
        base.mark_rule(clip=True, strokeWidth=1.5).encode(y=accuracy_axis("ci_low"), y2=alt.Y2("ci_high:Q")),
        base.mark_line(clip=True, strokeWidth=2).encode(y=mean),
        base.mark_point(clip=True, filled=True, size=46, opacity=1, cursor="pointer").encode(
            y=mean, shape=depth_shape(depths, family), tooltip=tooltip
        ),
    ]


def chance_line(chance: float, *, label_at: Literal["start", "end"] = "end") -> list[alt.Chart]:
    """Return the line of guessing and its label, which stands where no curve ends."""
    y = alt.Y(datum=chance, type="quantitative")
    align: Literal["left", "right"] = "left" if label_at == "start" else "right"
    label = named("one").mark_text(style="reference-label", clip=True, text="chance", align=align)
    x = alt.XValue(4 if label_at == "start" else "width")  # type: ignore[no-untyped-call]
    return [
        named("one").mark_rule(style="reference", clip=True).encode(y=y),
        label.encode(y=y, x=x),
    ]


def foot() -> alt.YValue:
    """Return the foot of the figure as a vertical place; Altair takes 10 ms to make this of `alt.value`."""
    return alt.YValue("height")  # type: ignore[no-untyped-call]


def chosen_capacity(x: alt.X) -> alt.Chart:
    """Return the stripe at the capacity chosen on the page, of the frame `cells`; 0 means none."""
    rule: alt.Chart = (
        named("cells")
        .transform_filter(f"datum.capacity === chosen && {VISIBLE}")
        # One stripe where several rows share a place: they would add up to an opaque one.
        .transform_aggregate(rows="count()", groupby=[x.shorthand.removesuffix(":Q")])
        .mark_rule(style="chosen", clip=True)
        .encode(x=x)
    )
    return rule


def figure(
    layers: list[alt.Chart],
    frames: Mapping[str, pl.DataFrame],
    *,
    title: str,
    subtitle: list[str],
    alternative: str,
    x: Window,
    y: Window = ACCURACY,
    **switches: object,
) -> Drawing:
    """Return the layers as one chart with a title and alternative text.

    Args:
        layers: Charts of `named` frames.
        frames: The rows, by name.
        title: Heading of the figure when it stands alone.
        subtitle: Lines that say what is drawn.
        alternative: The figure in words.
        x: What the horizontal axis shows: the first values of the parameters `left` and `right`.
        y: What the vertical axis shows: the first values of the parameters `bottom` and `top`.
        switches: Further parameters that the page's controls set, with their first values.
    """
    values = {"left": x.low, "right": x.high, "bottom": y.low, "top": y.high, **switches}
    parameters = {name: alt.VariableParameter(name=name, value=value) for name, value in values.items()}
    if y.highs:
        parameters["top"] = alt.VariableParameter(name="top", expr=f"({json.dumps(y.highs)})[chosen]")
    surroundings = {
        "params": [parameter.to_dict(validate=False) for parameter in parameters.values()],
        "title": {"text": title, "subtitle": subtitle},
        "description": alternative,
        "width": WIDTH,
        "height": HEIGHT,
        "usermeta": {"zoom": {"x": asdict(x), "y": asdict(y)}},
    }
    return Drawing(layers, surroundings, {"one": pl.DataFrame({"one": [1]}), **frames})


def close_up(means: list[float]) -> tuple[float, float]:
    """Return the ends of an axis that shows these mean accuracies large, in steps of 5 points."""
    bottom = max(0.0, math.floor(20 * min(means) - 0.5) / 20)
    return bottom, min(1.0, max(math.ceil(20 * max(means) + 0.1) / 20, bottom + 0.05))
