"""What the card of a volume model shows and says."""

from typing import TYPE_CHECKING, Any

from stock_assets import pictures
from stock_assets.card import Card
from stock_assets.learning.metrics import Array
from stock_assets.learning.volume import BASELINE, INPUTS

if TYPE_CHECKING:
    from lightgbm import Booster


def draw(
    candidates: dict[str, dict[str, Any]], chosen: str, booster: "Booster", actual: Array, predicted: Array
) -> tuple[pictures.Picture, ...]:
    """The pictures of the chosen one of the candidates (manifests by name); volumes in shares, shape (n,)."""
    gains = booster.feature_importance("gain").tolist()
    skills = {
        name: (found["metrics"]["skill"][BASELINE], *found["metrics"]["skill_interval"][BASELINE])
        for name, found in candidates.items()
    }
    return (
        pictures.predicted_against_actual(actual, predicted),
        pictures.error_by_liquidity(candidates[chosen]["metrics"]["slices"]["liquidity"], BASELINE),
        pictures.skill_by_model(skills),
        pictures.feature_importance(dict(zip(INPUTS, gains, strict=True))),
        pictures.input_drift(candidates[chosen]["metrics"]["drift"]),
    )


def describe(facts: dict[str, Any], shown: tuple[pictures.Picture, ...], command: str) -> Card:
    """The card of a version, whose manifest has these facts; `command` makes it again."""
    return Card(
        name=facts["name"],
        purpose=f"Predicts a day's volume in shares, with an 80 % prediction interval, from `{INPUTS[0]}` and "
        f"`{INPUTS[1]}` of the same row.",
        uses=(
            "The usual volume of a day, given its moving average and price level.",
            "A measure for models with more inputs: they should err less than this one.",
        ),
        limits=(
            "No forecast: the moving average holds the day's own volume, one thirtieth of it.",
            "Survivors only: companies that were gone when the data was collected are in neither training nor test.",
            "It errs most where trading is thin: see the errors by liquidity.",
            "The interval is as wide as errors were on the validation window: in wilder times it is too narrow.",
            "A moving average of 0 gives a prediction of 0, and an interval from 0 to 0.",
        ),
        facts=facts,
        metrics=facts["metrics"],
        pictures=shown,
        reproduce=(command,),
    )
