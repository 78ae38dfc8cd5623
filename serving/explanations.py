"""The published explanations: what each input did to a symbol's forecast."""

from datetime import date
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from serving.published import Columns, read_symbol
from serving.symbols import Symbol

COLUMNS = ("as_of", "forecast_for", "forecast", "level", "input", "value", "contribution")


class Contribution(BaseModel):
    """What one input did."""

    input: str
    value: float | None = Field(description="The input's value, in its own unit; null where it was not known.")
    contribution: float = Field(description="Its SHAP value: what it added to the logarithm of 1 + shares.")
    factor: float = Field(description="exp(contribution): what it multiplied the volume by.")


class Explanation(BaseModel):
    """Why a forecast is what it is: 1 + forecast = (1 + level) * the product of all factors, `others` included."""

    symbol: str
    name: str | None = Field(description="The security's name; null where the source has none.")
    summary: str = Field(description="The same in words.")
    forecast: int = Field(description="Forecast volume of the day, in shares.")
    level: float = Field(description="What the forecast would be if no input said anything, in shares.")
    contributions: list[Contribution] = Field(description="The inputs that did most, whichever way, first.")
    others: float = Field(description="The product of the factors of all inputs that are not listed.")
    as_of: date = Field(description="The symbol's last trading day: the forecast knows nothing later.")
    forecast_for: date = Field(description="The next trading day after it, by the exchange's calendar.")
    version: str = Field(description="The version of the model that forecast.")


def explanation_of(path: Path, symbol: Symbol, top: int) -> Explanation | None:
    """The explanation of a symbol's forecast; None where there is none. Raises `NotPublishedError`."""
    columns, said = read_symbol(path, symbol.symbol, COLUMNS)
    if not len(columns["forecast"]):
        return None
    order = np.argsort(-np.abs(columns["contribution"]), kind="stable")
    contributions = [_contribution(columns, row) for row in order[:top]]
    forecast, level = int(columns["forecast"][0]), float(columns["level"][0])
    forecast_for = columns["forecast_for"][0].item()
    return Explanation(
        symbol=symbol.symbol,
        name=symbol.name,
        summary=_summary(forecast, level, contributions, forecast_for),
        forecast=forecast,
        level=level,
        contributions=contributions,
        others=float(np.exp(columns["contribution"][order[top:]].sum())),
        as_of=columns["as_of"][0].item(),
        forecast_for=forecast_for,
        version=said.get("model", "unknown"),
    )


def _contribution(columns: Columns, row: int) -> Contribution:
    value, contribution = float(columns["value"][row]), float(columns["contribution"][row])
    return Contribution(
        input=columns["input"][row],
        value=value if np.isfinite(value) else None,
        contribution=contribution,
        factor=float(np.exp(contribution)),
    )


def _summary(forecast: int, level: float, contributions: list[Contribution], forecast_for: date) -> str:
    most = ", ".join(f"{one.input} by {one.factor:.2f}" for one in contributions[:3])
    return (
        f"{forecast:,} shares are forecast for {forecast_for}. The symbol's own level is {level:,.0f} shares; each "
        f"input multiplies it by its factor, above 1 for more volume and below 1 for less: most of all {most}."
    )
