"""The card of the next-day model and its pictures."""

from typing import TYPE_CHECKING, Any

from stock_assets import pictures
from stock_assets.card import Card
from stock_assets.learning.intervals import NOMINAL
from stock_assets.next_day.backtest import Backtest
from stock_assets.next_day.baselines import DECISIVE
from stock_assets.next_day.rows import INPUTS

if TYPE_CHECKING:
    from lightgbm import Booster


def draw(booster: "Booster", tested: Backtest, metrics: dict[str, Any]) -> tuple[pictures.Picture, ...]:
    """The pictures of a back-tested model."""
    gains = dict(zip(INPUTS, booster.feature_importance("gain").tolist(), strict=True))
    skills = {f"against {name}": (skill, *metrics["skill_interval"][name]) for name, skill in metrics["skill"].items()}
    return (
        pictures.predicted_against_actual(tested.actual, tested.forecast.point),
        pictures.error_by_liquidity(metrics["slices"]["liquidity"], DECISIVE),
        pictures.skill_by_model(skills),
        pictures.interval_calibration(metrics["interval"]["by_liquidity"], NOMINAL),
        pictures.feature_importance(gains),
        pictures.input_drift(metrics["drift"]),
    )


def describe(facts: dict[str, Any], shown: tuple[pictures.Picture, ...], command: str) -> Card:
    """The card of a version, whose manifest has these facts; `command` makes it again."""
    return Card(
        name=facts["name"],
        purpose="Forecasts a symbol's volume in shares on its next trading day, with an 80 % prediction interval, from "
        "what is known at the day's close.",
        uses=(
            "Planning of orders and of data volumes for the next session.",
            "A benchmark of liquidity: `baseline_*` columns stand beside each forecast.",
        ),
        limits=(
            "Survivors only: companies that were gone when the data was collected are in neither training nor test.",
            "News after the close, index changes and announced earnings dates are not known to it.",
            "The calendar is that of the New York Stock Exchange, closings on schedule only.",
            "It errs most where trading is thin: see the errors by liquidity.",
            "Volumes are as the source has them now, adjusted for splits that came later.",
        ),
        facts=facts,
        metrics=facts["metrics"],
        pictures=shown,
        reproduce=(command,),
    )
