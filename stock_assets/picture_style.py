"""How every picture looks: the canvas, the colours, and bars that a single huge value does not squash."""

from collections.abc import Callable, Sequence
from io import BytesIO
from statistics import median
from typing import TYPE_CHECKING, Any

from stock_assets.number_format import compact

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

DPI = 100
WIDTH, HEIGHT, LEAST_HEIGHT = 900, 520, 280
HEADING = 56
"""Pixels above the axes that belong to the title; the sizes are pixels too."""

# Okabe and Ito's colours, which people with any colour vision can tell apart; grey for what only helps to read.
GOOD, WARNING, BAD = "#0072B2", "#E69F00", "#D55E00"
INK, GREY, FAINT = "#1f2430", "#5f6773", "#dfe3e8"

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # matplotlib brings it along: the same picture on every machine
    "font.size": 10.5,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,  # as in all other figures
    "grid.color": FAINT,
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
}


def draw(title: str, subtitle: str, paint: Callable[["Figure"], None], rows: int = 10) -> bytes:
    """A PNG with a heading, painted by `paint`; lower where it lists few `rows`, higher where it lists many.

    The bytes hold no date and no version, so the same figures give the same file.
    """
    from matplotlib import style  # noqa: PLC0415 - a second that only those who draw should wait
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    height = max(LEAST_HEIGHT, min(HEIGHT, 160 + 50 * rows), 156 + 26 * rows)
    pixels, content = BytesIO(), BytesIO()
    with style.context(["default", STYLE]):
        layout = ConstrainedLayoutEngine(rect=(0.008, 0.01, 0.984, 1 - HEADING / height - 0.01))
        figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, layout=layout)
        figure.text(0.015, 1 - 12 / height, title, va="top", fontsize=14, fontweight="bold")
        figure.text(0.015, 1 - 36 / height, subtitle, va="top", color=GREY)
        paint(figure)
        figure.savefig(pixels, format="rgba")
    image = Image.frombytes("RGBA", (WIDTH, height), pixels.getvalue()).convert("RGB")
    # These few hues need no more than 256 colours, which is a third of the bytes.
    image.quantize(256, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    return content.getvalue()


def name_rows(axes: "Axes", labels: Sequence[str]) -> None:
    """One row for each label, the first on top."""
    axes.set_yticks(range(len(labels)), [shortened(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def shortened(name: str, length: int = 40) -> str:
    return name if len(name) <= length else f"{name[: length // 2]}...{name[-length // 2 + 3 :]}"


def bars(axes: "Axes", values: Sequence[float], limit: float, colours: Sequence[str], texts: Sequence[str]) -> None:
    """Bars from zero to `values` with a text behind each; one beyond `limit`, either side, gets an arrow there."""
    drawn = [min(max(value, -limit), limit) for value in values]
    axes.barh(range(len(values)), drawn, color=colours, height=0.64)
    for row, (value, end, colour, text) in enumerate(zip(values, drawn, colours, texts, strict=True)):
        side = 1 if value >= 0 else -1
        if value != end:
            arrow(axes, end, row, side, colour)
        note(axes, (end, row), text, side * (14 if value != end else 6))
    low, high = min([*drawn, 0]), max([*drawn, 0])
    room = 0.24 * (high - low or limit)
    axes.set_xlim(low - room if low < 0 else 0, high + room)


def arrow(axes: "Axes", end: float, row: int, side: int, colour: str) -> None:
    """The sign that a value lies further out than it is drawn."""
    axes.plot([end], [row], marker=">" if side > 0 else "<", markersize=11, color=colour, clip_on=False)


def note(axes: "Axes", place: tuple[float, float], text: str, distance: float) -> None:
    """A text `distance` points to the right of a place, or to the left where it is negative."""
    axes.annotate(
        text,
        place,
        xytext=(distance, 0),
        textcoords="offset points",
        ha="left" if distance > 0 else "right",
        va="center",
        annotation_clip=False,
    )


def cut(values: Sequence[float], least: float) -> float:
    """How far bars go, so that one far out leaves the others legible: four times the median, `least` at least."""
    return max(least, 4 * median(abs(value) for value in values))


def percent_ticks(axes: "Axes", sign: str = "") -> None:
    """Few vertical lines, with their percentages below the axes, `+` for those with their sign."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda share, _: f"{round(100 * share, 6):{sign if share else ''},g} %")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def blues() -> "Colormap":
    """Pale to dark, so that it is legible without colour too."""
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415

    return LinearSegmentedColormap.from_list("blues", ["#d3e6f5", "#5aa9dd", GOOD, "#062a4a"])


def rows_by_colour(axes: "Axes", density: "PolyCollection") -> None:
    """The legend of a density: how many rows a colour stands for, from one to at least ten."""
    counts = density.get_array()
    density.set_clim(1, max(10, 0 if counts is None else counts.max()))
    bar = axes.figure.colorbar(density, ax=axes, label="rows", pad=0.02, aspect=30)
    bar.ax.yaxis.set_major_formatter(lambda value, _: compact(value))
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
