"""Pictures of a model: figures in, a PNG with its title and caption out. Nothing here reads or writes a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stock_assets.number_format import compact, percent, plain, signed_percent
from stock_assets.picture_style import (
    BAD,
    FAINT,
    GOOD,
    GREY,
    INK,
    WARNING,
    arrow,
    bars,
    blues,
    cut,
    draw,
    name_rows,
    note,
    percent_ticks,
    rows_by_colour,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

CELLS = 800
"""Cells along each axis of the density: about ten for each of its hexagons."""
TOP_INPUTS = 20
STABLE, SHIFTED = 0.1, 0.2
"""Population stability indices that count as stable below and as shifted above: see `learning/drift.py`."""
TOLERANCE = 0.05
"""How far the coverage of a prediction interval may be from the nominal one."""


@dataclass(frozen=True)
class Picture:
    """A PNG, the name of its file without the ending, a title, and a caption that says how to read it."""

    name: str
    title: str
    caption: str
    png: bytes


def predicted_against_actual(actual: Array, predicted: Array) -> Picture:
    """The density of predicted over actual volume, both in shares, shape (n,), n > 0, on logarithmic scales."""
    title = "Predicted against actual volume"
    top = float(np.log10(max(actual.max(), predicted.max(), 10)))
    x, y, rows = _counted(actual, predicted, top)
    powers = range(0, int(top) + 1, 1 + int(top) // 10)
    traded = actual > 0
    ratio = predicted[traded] / actual[traded]
    near = float(np.mean((ratio >= 0.5) & (ratio <= 2))) if len(ratio) else 0.0
    subtitle = (
        f"{plain(len(actual))} rows of the test window; {percent(near)} of those with trading within a factor of two"
    )

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        grid: dict[str, Any] = {"gridsize": (84, 40), "extent": (0, top, 0, top), "mincnt": 1}
        density = axes.hexbin(x, y, rows, reduce_C_function=np.sum, norm="log", cmap=blues(), **grid)
        for factor, line in ((1, "-"), (2, ":"), (0.5, ":")):
            axes.axline((0, float(np.log10(factor))), slope=1, color=BAD, linestyle=line, linewidth=1.4)
        for axis, name in ((axes.xaxis, "actual"), (axes.yaxis, "predicted")):
            axis.set_ticks(powers, [compact(10**power) if power else "\u2264 1" for power in powers])
            axis.set_label_text(f"{name} volume, shares a day")
        axes.set(xlim=(-0.02 * top, 1.02 * top), ylim=(-0.02 * top, 1.02 * top))
        rows_by_colour(axes, density)

    caption = (
        "On the solid line a prediction is exact, between the dotted lines it is within a factor of two. "
        f"That holds for {percent(near)} of the rows with trading. Volumes below one share are drawn at one."
    )
    return Picture("predicted_against_actual", title, caption, draw(title, subtitle, paint))


def _counted(actual: Array, predicted: Array, top: float) -> tuple[Array, Array, Array]:
    """The middles of small square cells that have rows, as decimal logarithms up to `top`, and how many rows.

    Drawing millions of rows one by one takes seconds and half a gigabyte.
    """
    places = np.zeros(len(actual), dtype=np.int32)
    for volumes in (actual, predicted):
        logarithms = np.log10(np.maximum(volumes, 1))
        places = places * CELLS + np.minimum(logarithms / top * CELLS, CELLS - 1).astype(np.int32)
    rows = np.bincount(places, minlength=CELLS**2)
    cells = np.flatnonzero(rows)
    x, y = ((place + 0.5) / CELLS * top for place in np.divmod(cells, CELLS))
    return x, y, rows[cells].astype(np.float64)


def error_by_liquidity(slices: Mapping[str, dict[str, Any]], baseline: str) -> Picture:
    """Median error and skill by the label of at least one bucket: `slices.liquidity` of `metrics.json`."""
    title = "Error by liquidity"
    subtitle = "on the test window, by the moving average of volume in shares a day"
    errors = [facts["median_ape"] for facts in slices.values()]
    skills = [facts["skill"][baseline] for facts in slices.values()]

    def paint(figure: "Figure") -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        name_rows(left, [f"{label}\n{plain(facts['rows'])} rows" for label, facts in slices.items()])
        left.set_xlabel("median absolute error, % of the volume")
        bars(left, errors, cut(errors, 0.1), [GREY] * len(errors), [percent(error) for error in errors])
        colours = [GOOD if skill >= 0 else BAD for skill in skills]
        bars(right, skills, cut(skills, 0.1), colours, [signed_percent(skill) for skill in skills])
        right.set_xlabel(f"skill against {baseline}")
        right.axvline(0, color=INK, linewidth=1)
        percent_ticks(left)
        percent_ticks(right, "+")

    caption = (
        "Left: half of a bucket's rows with trading err by less than this share of their volume. Right: the share of "
        f"the mean absolute error of {baseline} that the model saves; below zero it errs more."
    )
    return Picture("error_by_liquidity", title, caption, draw(title, subtitle, paint, len(slices)))


def skill_by_model(skills: Mapping[str, tuple[float, float, float]]) -> Picture:
    """The skill of each of at least one model with the low and the high end of its 95 % interval, best first."""
    title = "Skill of every model"
    ranked = sorted(skills.items(), key=lambda item: (-item[1][0], item[0]))
    best = ranked[0][1][0]
    floor = max(min(low for _, (_, low, _) in ranked), -1.5 * max(abs(best), 0.07))
    worse = sum(skill < 0 for skill, _, _ in skills.values())

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        name_rows(axes, [name for name, _ in ranked])
        axes.axvline(0, color=INK, linewidth=1)
        for row, (_, (skill, low, high)) in enumerate(ranked):
            colour = GOOD if skill >= 0 else BAD
            if skill < floor:
                arrow(axes, floor, row, -1, colour)
            else:
                axes.plot([max(low, floor), high], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
                axes.plot([skill], [row], color=colour, marker="o" if skill >= 0 else "D", markersize=8)
            figures = f"{signed_percent(skill)}  ({signed_percent(low)} to {signed_percent(high)})"
            axes.annotate(figures, (1.02, row), xycoords=("axes fraction", "data"), va="center", color=colour)
        axes.set_xlabel("share of the baseline's mean absolute error that a model saves")
        axes.margins(x=0.06)
        percent_ticks(axes, "+")

    caption = (
        "Skill is 1 - MAE / MAE of the baseline on the test window, with its 95 % interval. Diamonds and arrows are "
        f"models that err more than the baseline: {worse} of {len(skills)}. An arrow stands for one further left."
    )
    subtitle = "against the baseline on the test window, with 95 % intervals"
    return Picture("skill_by_model", title, caption, draw(title, subtitle, paint, len(ranked)))


def feature_importance(gains: Mapping[str, float]) -> Picture:
    """The inputs with the largest gains, in any unit, as shares of the gain of all."""
    title = "Importance of the inputs"
    largest = dict(sorted(gains.items(), key=lambda item: (-item[1], item[0]))[:TOP_INPUTS])
    whole = sum(gains.values()) or 1.0
    shares = [gain / whole for gain in largest.values()]
    shown = f"the {len(largest)} largest of {len(gains)} inputs" if len(gains) > len(largest) else "all inputs"

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        name_rows(axes, list(largest))
        bars(axes, shares, 1, [GOOD] * len(shares), [percent(share) for share in shares])
        axes.set_xlabel("share of the total gain")
        percent_ticks(axes)

    caption = f"The share of the reduction of the training loss that the splits on an input brought: {shown}."
    return Picture("feature_importance", title, caption, draw(title, shown, paint, len(largest)))


def interval_calibration(coverage: Mapping[str, float], nominal: float) -> Picture:
    """The share of actual volumes inside the prediction interval, by liquidity, against the nominal share."""
    title = f"Coverage of the {percent(nominal)} prediction interval".replace(".0 %", " %")
    low, high = nominal - TOLERANCE, nominal + TOLERANCE
    band = f"{100 * low:.0f} to {100 * high:.0f} %"
    subtitle = f"by the moving average of volume in shares a day; the band is {band}"
    inside = [low <= share <= high for share in coverage.values()]

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        name_rows(axes, list(coverage))
        axes.axvspan(low, high, color=FAINT, linewidth=0)
        axes.axvline(nominal, color=INK, linewidth=1)
        for row, (share, good) in enumerate(zip(coverage.values(), inside, strict=True)):
            colour, marker = (GOOD, "o") if good else (BAD, "D")
            axes.plot([nominal, share], [row, row], color=colour, linewidth=2.2)
            axes.plot([share], [row], color=colour, marker=marker, markersize=9, clip_on=False)
            note(axes, (share, row), percent(share), 10 if share >= nominal else -10)
        axes.set_xlabel("actual volumes inside the interval")
        left, right = min(*coverage.values(), low - 0.05), max(*coverage.values(), high + 0.05)
        axes.set_xlim(left - 0.12 * (right - left), right + 0.12 * (right - left))
        percent_ticks(axes)

    caption = (
        f"The line is the nominal {percent(nominal)}, the band {band}. Left of it intervals are too narrow, right "
        f"of it too wide. {sum(inside)} of {len(inside)} buckets are inside."
    )
    return Picture("interval_calibration", title, caption, draw(title, subtitle, paint, len(coverage)))


def input_drift(indices: Mapping[str, float]) -> Picture:
    """The population stability index of each of at least one input."""
    title = "Drift of the inputs"
    values = list(indices.values())
    shifted = sum(value > SHIFTED for value in values)
    colours = [GOOD if value < STABLE else WARNING if value <= SHIFTED else BAD for value in values]

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        name_rows(axes, list(indices))
        bars(axes, values, 1, colours, [f"{value:,.3f}" for value in values])
        axes.set_xlim(0, max(axes.get_xlim()[1], 1.6 * SHIFTED))
        for line, text in ((STABLE, "0.1"), (SHIFTED, "0.2")):
            axes.axvline(line, color=INK, linestyle="--", linewidth=1)
            axes.annotate(text, (line, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom")
        axes.set_xlabel("population stability index")

    caption = (
        "The population stability index of new rows against the rows of the training: stable below 0.1, shifted above "
        f"0.2. {shifted} of {len(values)} inputs have shifted."
    )
    subtitle = "new rows against those of the training: stable below 0.1, shifted above 0.2"
    return Picture("input_drift", title, caption, draw(title, subtitle, paint, len(values)))
