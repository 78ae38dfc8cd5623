"""The card of the model of the next day's price, and its picture."""

from collections.abc import Callable
from typing import Any

from stock_assets import pictures
from stock_assets.card import Card, Table
from stock_assets.crypto.measures import RANDOM_WALK
from stock_assets.number_format import percent, signed_percent

UNIT = "parts of the asset's mean price"


def draw(metrics: dict[str, Any]) -> tuple[pictures.Picture, ...]:
    """The picture of all candidates."""
    skills = {
        name: (found["skill"][RANDOM_WALK], *found["skill_interval"][RANDOM_WALK])
        for name, found in metrics["candidates"].items()
    }
    return (pictures.skill_by_model(skills),)


def describe(facts: dict[str, Any], shown: tuple[pictures.Picture, ...], command: str) -> Card:
    """The card of a version, whose manifest has these facts; `command` makes it again."""
    metrics = facts["metrics"]
    return Card(
        name=facts["name"],
        purpose="Predicts the price of a crypto asset on the next day from what is known at a day's close. "
        f"{verdict(metrics)}",
        uses=("A measure of how little of tomorrow's price is in the prices, volumes and market caps before it.",),
        limits=(
            "No advice: what a trade costs is more than any difference seen here.",
            "`linear_raw` is the regression as it was published; it cannot say more than its four inputs do.",
            "Prices are those of the file, one a day; what happened within the day is not known.",
            "The assets are those that somebody kept a file of: those that are gone are missing.",
        ),
        facts=facts,
        metrics=metrics,
        pictures=shown,
        reproduce=(command,),
        unit=UNIT,
        tables=tuple(_table(asset, scores) for asset, scores in metrics["assets"].items()),
    )


def verdict(metrics: dict[str, Any]) -> str:
    """Whether the version beats "tomorrow's price is today's", in a sentence or two."""
    skill, (low, high) = metrics["skill"][RANDOM_WALK], metrics["skill_interval"][RANDOM_WALK]
    worth = f"{signed_percent(skill)} (95 % interval {signed_percent(low)} to {signed_percent(high)})"
    if skill <= 0:
        others = any(found["skill"][RANDOM_WALK] > 0 for found in metrics["candidates"].values())
        also = "" if others else ", and no other candidate does"
        return f"It does not beat \"tomorrow's price is today's\" on the test window{also}: {worth} of its MAE."
    doubt = "; that may be chance" if low <= 0 else ""
    return f"On the test window it saves {worth} of the MAE of \"tomorrow's price is today's\"{doubt}."


def _table(asset: str, scores: dict[str, dict[str, Any]]) -> Table:
    rows: list[tuple[str, ...]] = [
        (
            name,
            f"{found['mae']:.5g}",
            f"{found['rmse']:.5g}",
            "" if name == RANDOM_WALK else _with_interval(signed_percent, found["skill"], *found["skill_interval"]),
            _with_interval(percent, *(found["direction"][part] for part in ("share", "low", "high"))),
        )
        for name, found in scores.items()
    ]
    days = scores[RANDOM_WALK]["rows"]
    note = (
        f"{days} days of the test window, MAE and RMSE in the unit of the prices. `{RANDOM_WALK}` is today's price; "
        "its direction is that of who always says up. 95 % intervals: of the skill by blocks of 20 "
        "days, of the direction by Wilson, of the days that moved."
    )
    header = ("", "MAE", "RMSE", "saves of the MAE of random_walk", "direction told")
    return Table(f"Prices of {asset}", header, rows, note)


def _with_interval(form: Callable[[float], str], value: float, low: float, high: float) -> str:
    return f"{form(value)} ({form(low)} to {form(high)})"
