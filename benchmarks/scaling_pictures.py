"""The pictures of `docs/scaling.md`: time and memory over the rows, both on logarithmic scales."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.scaling_results import Run, of_mode
from benchmarks.scaling_steps import STEPS
from stock_assets.picture_style import BAD, GOOD, GREY, INK, WARNING, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODES = {"default": "DuckDB takes half of the memory", "limit 2GB": "DuckDB is limited to 2 GB"}
COLOURS = (GREY, GOOD, "#56B4E9", BAD, WARNING, "#009E73", "#CC79A7", INK)
"""One for each step, of Okabe and Ito's colours."""

Value = Callable[[Run, str], float]


def time_picture(found: dict[str, Any]) -> bytes:
    """Seconds of each step; a dotted line is what grows as the rows do."""
    return _picture(
        found,
        "Time by step",
        "s",
        lambda run, step: float(run["steps"][step]["seconds"]),
        "seconds; what grows as the rows do is parallel to the dotted lines",
    )


def memory_picture(found: dict[str, Any]) -> bytes:
    """Peak memory of the process that runs each step."""
    return _picture(
        found,
        "Peak memory by step",
        "GB",
        lambda run, step: float(run["steps"][step]["peak"]) / 1e9,
        "of the whole process, Dagster and libraries included",
    )


def _picture(found: dict[str, Any], title: str, unit: str, value: Value, subtitle: str) -> bytes:
    modes = {mode: label for mode, label in MODES.items() if of_mode(found, mode)}

    def paint(figure: "Figure") -> None:
        panels = figure.subplots(1, len(modes), sharey=True, sharex=True, squeeze=False)[0]
        for axes, (mode, label) in zip(panels, modes.items(), strict=True):
            axes.set_title(label, fontsize=10.5, color=GREY)
            axes.set_xlabel("million rows")
            _curves(axes, of_mode(found, mode), value)
        panels[0].set_ylabel(unit)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)

    return draw(title, subtitle, paint)


def _curves(axes: "Axes", runs: list[Run], value: Value) -> None:
    for step, colour in zip(STEPS, COLOURS, strict=True):
        points = [(run["rows"] / 1e6, value(run, step)) for run in runs if step in run["steps"]]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, label=step)
    axes.set(xscale="log", yscale="log")
    axes.xaxis.set_major_formatter(lambda millions, _: f"{millions:g}")
    axes.yaxis.set_major_formatter(lambda number, _: f"{number:g}")
    axes.grid()
    for height in (0.1, 1, 10):
        axes.axline((1, height), (10, 10 * height), color=GREY, linestyle=":", linewidth=1)
