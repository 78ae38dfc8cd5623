"""The pictures: real PNGs of a bounded size, the same bytes for the same figures, captions that say what is drawn."""

import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stock_assets.defs.schemas import picture_value
from stock_assets.pictures import (
    CELLS,
    Picture,
    _counted,
    error_by_liquidity,
    feature_importance,
    input_drift,
    interval_calibration,
    predicted_against_actual,
    skill_by_model,
)

ROOT = Path(__file__).parent.parent
BASELINE = "vol_moving_avg"
RANDOM = np.random.default_rng(5)
ACTUAL = np.floor(np.exp(RANDOM.normal(9, 3, 20_000)))
PREDICTED = ACTUAL * np.exp(RANDOM.normal(0, 0.6, 20_000)) + 1
LABELS = ("under 1,000", "1,000 to 10,000", "10,000 to 100,000", "100,000 to 1 M", "1 M to 10 M", "over 10 M")
GOOD, BAD = (0, 114, 178), (213, 94, 0)


def slices(errors: list[float], skills: list[float]) -> dict[str, dict[str, Any]]:
    rows = zip(LABELS, errors, skills, strict=False)
    return {label: {"rows": 1234, "median_ape": e, "skill": {BASELINE: skill}} for label, e, skill in rows}


PICTURES: dict[str, Callable[[], Picture]] = {
    "volumes": lambda: predicted_against_actual(ACTUAL, PREDICTED),
    "one volume": lambda: predicted_against_actual(np.array([5.0]), np.array([5.0])),
    "no volume": lambda: predicted_against_actual(np.zeros(9), np.zeros(9)),
    "huge volumes": lambda: predicted_against_actual(np.array([1e15, 2]), np.array([3, 1e18])),
    "liquidity": lambda: error_by_liquidity(
        slices([0.7, 0.6, 0.5, 0.4, 0.3, 0.2], [-24, -0.1, 0, 0.1, 0, 0.02]), BASELINE
    ),
    "one bucket": lambda: error_by_liquidity(slices([0], [0]), BASELINE),
    "skills": lambda: skill_by_model({"good": (0.04, 0.03, 0.05), "bad": (-0.03, -0.05, -0.01), "raw": (-2.4, -3, -2)}),
    "no skill": lambda: skill_by_model({"model": (0, 0, 0)}),
    "only bad": lambda: skill_by_model({"bad": (-0.2, -0.21, -0.19), "worse": (-9e6, -1e7, -8e6)}),
    "many skills": lambda: skill_by_model({f"model_{n}": (n / 100, n / 100 - 0.02, n / 100) for n in range(30)}),
    "gains": lambda: feature_importance({f"input_{n}_" + "x" * n: 1.5**n for n in range(60)}),
    "no gain": lambda: feature_importance({"$a$": 0, "b": 0}),
    "coverage": lambda: interval_calibration(dict(zip(LABELS, [0, 1, 0.8, 0.74, 0.86, 0.8], strict=True)), 0.8),
    "one coverage": lambda: interval_calibration({LABELS[0]: 0.8}, 0.8),
    "drift": lambda: input_drift({"a": 0.03, "b": 0.15, "c": 0.25, "d": 12.3}),
    "no drift": lambda: input_drift({"a": 0}),
}


def pixels(picture: Picture) -> Image.Image:
    return Image.open(BytesIO(picture.png)).convert("RGB")


def drawn(picture: Picture, colour: tuple[int, int, int]) -> bool:
    """Whether at least a hundred pixels are near this colour."""
    difference = np.abs(np.asarray(pixels(picture), dtype=int) - colour).max(axis=2)
    return bool((difference <= 6).sum() >= 100)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_small_png_on_white(name: str) -> None:
    picture = PICTURES[name]()
    image = Image.open(BytesIO(picture.png))

    assert (image.format, image.width, image.info) == ("PNG", 900, {})
    assert 280 <= image.height <= 1000
    assert len(picture.png) < 80_000
    assert pixels(picture).getpixel((1, 1)) == (255, 255, 255)
    assert picture.title
    assert picture.caption.endswith(".")


@pytest.mark.slow
def test_the_same_figures_give_the_same_bytes_in_another_process() -> None:
    code = """
import hashlib, sys
from tests.test_pictures import PICTURES
print(*(hashlib.sha256(PICTURES[name]().png).hexdigest() for name in ("volumes", "skills", "drift")))
print("matplotlib.pyplot" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    first, second = (subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT) for _ in range(2))

    assert first.stdout == second.stdout
    assert first.stdout.endswith("False\n")


def test_the_share_within_a_factor_of_two_is_of_the_rows_with_trading() -> None:
    actual = np.array([0.0, 0.0, 100.0, 100.0, 100.0, 100.0])
    predicted = np.array([1.0, 9.0, 50.0, 200.0, 49.0, 201.0])

    assert "That holds for 50.0 % of the rows with trading." in predicted_against_actual(actual, predicted).caption


def test_the_density_counts_every_row_in_its_place() -> None:
    x, y, rows = _counted(ACTUAL, PREDICTED, 10.0)
    edges = np.linspace(0, 10, CELLS + 1)
    logarithms = [np.log10(np.maximum(volumes, 1)) for volumes in (ACTUAL, PREDICTED)]
    expected, _, _ = np.histogram2d(*logarithms, bins=(edges, edges))

    assert rows.sum() == len(ACTUAL)
    places = [(middles / 10 * CELLS).astype(int) for middles in (x, y)]
    # A volume on an edge may fall to either side of it, by rounding.
    assert np.abs(expected[places[0], places[1]] - rows).sum() < 0.01 * len(ACTUAL)


def test_models_below_the_baseline_are_marked_and_counted() -> None:
    good = {"a": (0.04, 0.03, 0.05), "b": (0.02, 0.01, 0.03)}
    bad = {"c": (-0.01, -0.02, 0.01), "d": (-2.4, -3.0, -2.0)}

    assert drawn(skill_by_model(good), GOOD)
    assert not drawn(skill_by_model(good), BAD)
    assert drawn(skill_by_model(good | bad), BAD)
    assert "more than the baseline: 2 of 4" in skill_by_model(good | bad).caption


def test_one_terrible_model_does_not_squash_the_others() -> None:
    """The marks of the two good ones stay where they are whether the third is bad or far worse."""
    good = {"a": (0.04, 0.03, 0.05), "b": (0.01, 0.0, 0.02)}

    def marks(worst: float) -> tuple[int, int]:
        image = np.asarray(pixels(skill_by_model(good | {"c": (worst, worst, worst)})), dtype=int)
        near = np.abs(image[:, :600] - GOOD).max(axis=2) <= 6
        columns = np.flatnonzero(near.any(axis=0))
        return int(columns[0]), int(columns[-1])

    left, right = marks(-240.0)
    assert right - left > 100
    assert (left, right) == pytest.approx(marks(-2.4), abs=60)


def test_the_largest_gains_are_named_as_shares() -> None:
    few, many = feature_importance({"a": 3, "b": 1}), feature_importance({f"input_{n}": n for n in range(30)})

    assert "all inputs" in few.caption
    assert "the 20 largest of 30 inputs" in many.caption
    assert pixels(many).height > pixels(few).height


def test_buckets_outside_the_band_are_marked() -> None:
    inside = interval_calibration({"a": 0.76, "b": 0.84}, 0.8)
    outside = interval_calibration({"a": 0.74, "b": 0.84}, 0.8)

    assert (drawn(inside, BAD), drawn(outside, BAD)) == (False, True)
    assert "2 of 2 buckets" in inside.caption
    assert "1 of 2 buckets" in outside.caption


@pytest.mark.parametrize(("index", "shifted"), [(0.05, 0), (0.2, 0), (0.21, 1), (40.0, 1)])
def test_a_shifted_input_is_marked(index: float, shifted: int) -> None:
    picture = input_drift({"a": index, "b": 0.01})

    assert drawn(picture, BAD) is bool(shifted)
    assert f"{shifted} of 2 inputs have shifted" in picture.caption


def test_drawing_leaves_no_global_state() -> None:
    import matplotlib  # noqa: PLC0415

    before = dict(matplotlib.rcParams)
    PICTURES["skills"]()

    assert dict(matplotlib.rcParams) == before


def test_the_ui_gets_the_picture_itself() -> None:
    value = picture_value(Picture("name", "A title", "A caption.", b"\x89PNG"))

    assert value.value == "![A title](data:image/png;base64,iVBORw==)\n\nA caption."
