"""The published predictions of crypto assets' next-day prices, in memory: each asset's newest one and its last days."""

import datetime
from difflib import get_close_matches
from math import floor, isfinite, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serving.published import Columns, NotPublishedError
from stock_assets.number_format import percent, signed_percent

COLUMNS = ("asset", "date", "price", "rsi", "prediction", "forecast_for", "seen_in", "beats_random_walk")
REMEDY = "run the crypto pipeline (stock-assets run --select 'crypto_prices*')"
BASELINE = "tomorrow's price is today's"
LONGEST = 64
"""Characters of an asset's name that are looked at."""
NEAR = 20
"""Assets that are named in place of one that there is not."""


class UnknownAssetError(Exception):
    """No such asset; `known` are those there are, at most `NEAR`, those first that are spelt most like it."""

    def __init__(self, asked: str, assets: list[str]) -> None:
        self.known = get_close_matches(asked.casefold(), assets, n=NEAR, cutoff=0)
        super().__init__(f"there is no crypto asset {asked!r}; known: {', '.join(self.known) or 'none'}")


class Direction(BaseModel):
    """The share of days whose rise or fall was told, of those of the test window whose price moved."""

    days: int
    share: float
    low: float = Field(description="Lower end of Wilson's 95 % interval.")
    high: float = Field(description="Upper end of it.")


class Window(BaseModel):
    """The days that the model was measured on; it had seen none of them."""

    model_config = ConfigDict(populate_by_name=True)
    from_: datetime.date = Field(alias="from")
    to: datetime.date


class Measured(Window):
    """Errors on the test window of one asset, in the unit of its prices; the baseline is the day's own price."""

    days: int
    mae: float = Field(description="Mean absolute error of the model.")
    rmse: float = Field(description="Root of its mean squared error.")
    baseline_mae: float
    baseline_rmse: float
    skill: float = Field(description="The share of the baseline's MAE that the model saves; below 0 it errs more.")
    skill_interval: tuple[float, float] = Field(description="95 % interval of the skill.")


class NextPrice(BaseModel):
    """An asset's price on the day after its newest one, and whether the prediction is worth anything."""

    asset: str
    as_of: datetime.date = Field(description="The newest day of the asset: the prediction knows nothing later.")
    price: float = Field(description="Its price on that day, in the unit of its file.")
    rsi: float | None = Field(description="Wilder's RSI over 14 days, 0 to 100; null while there are fewer.")
    forecast_for: datetime.date = Field(description="The day after `as_of`.")
    prediction: float | None = Field(
        description="The price on `forecast_for`; null where the model lacks an input, as in the first 30 days."
    )
    baseline: float = Field(description="What the random walk says of that day: the price of `as_of`.")
    beats_random_walk: bool = Field(
        description="Whether the whole 95 % interval of this asset's skill is above 0, of 100 days or more."
    )
    note: str = Field(description="How far to trust the prediction, in a sentence.")
    metrics: Measured | None = Field(description="null where the asset has no days in the test window.")
    direction: Direction | None
    candidate: str = Field(description="What kind of model it is.")
    promoted: bool = Field(
        description="Whether the version was worth it; where none ever was, the newest one predicts."
    )
    version: str = Field(description="The version of the model that predicted.")
    source: str = Field(description="Where the prices come from: demo (generated) or folder.")


class NextPriceRow(BaseModel):
    """As of GET /next-price/{asset}, in short."""

    asset: str
    as_of: datetime.date
    price: float
    rsi: float | None
    forecast_for: datetime.date
    prediction: float | None
    beats_random_walk: bool


class NextPriceList(BaseModel):
    """The newest prediction of every asset, all by one version, and what that is worth."""

    version: str
    candidate: str = Field(description="What kind of model it is.")
    promoted: bool = Field(
        description="Whether the version was worth it; where none ever was, the newest one predicts."
    )
    source: str = Field(description="Where the prices come from: demo (generated) or folder.")
    verdict: str = Field(description="Whether it beats \"tomorrow's price is today's\" over all assets.")
    assets: list[NextPriceRow] = Field(description="In order of their names.")


class PriceDays(BaseModel):
    """Columns of the same length, oldest day first."""

    date: list[datetime.date]
    price: list[float]
    prediction: list[float | None] = Field(
        description="What was predicted of that day the day before, null if nothing."
    )
    trained_on: list[bool] = Field(
        description="Whether the model was trained on that day's price: such a prediction says nothing of its worth."
    )


class PriceHistory(BaseModel):
    """What a chart of an asset shows."""

    asset: str
    days: PriceDays
    forecast: NextPrice = Field(description="As of GET /next-price/{asset}.")


class _Scores(BaseModel):
    rows: int
    mae: float
    rmse: float
    skill: float
    skill_interval: tuple[float, float]
    direction: Direction


class _Compared(BaseModel):
    model: _Scores
    random_walk: _Scores


class _Worth(BaseModel):
    """What the file's metadata says of the model, in its key `model`."""

    version: str
    candidate: str
    promoted: bool
    verdict: str
    test: Window
    assets: dict[str, _Compared]


class NextPrices:
    """The file of predictions, in order of asset and date; all of it is by the model `version`."""

    def __init__(self, columns: Columns, said: dict[str, str]) -> None:
        self._worth = _read_worth(said)
        self._source = said.get("source", "unknown")
        assets, starts = np.unique(columns["asset"], return_index=True)
        ends = [*starts[1:].tolist(), len(columns["asset"])]
        # Kept as truths: a string for each row would be most of the memory.
        kept = {name: values for name, values in columns.items() if name not in {"asset", "seen_in"}}
        kept["trained_on"] = columns["seen_in"] == "training"
        self._days: dict[str, Columns] = {
            asset: {name: values[start:end] for name, values in kept.items()}
            for asset, start, end in zip(assets.tolist(), starts.tolist(), ends, strict=False)
        }
        self._spelt = {asset.casefold(): asset for asset in self._days} | {asset: asset for asset in self._days}

    @property
    def version(self) -> str:
        return self._worth.version

    def of(self, asked: str) -> NextPrice:
        """The newest prediction of an asset in upper or lower case. Raises `UnknownAssetError`."""
        asset = self._find(asked)
        compared, newest = self._worth.assets.get(asset), self._newest(asset)
        return NextPrice(
            **newest,
            baseline=newest["price"],
            note=_note(newest, compared),
            metrics=_measured(compared, self._worth.test) if compared else None,
            direction=compared.model.direction if compared else None,
            candidate=self._worth.candidate,
            promoted=self._worth.promoted,
            version=self.version,
            source=self._source,
        )

    def all(self) -> NextPriceList:
        worth = self._worth
        return NextPriceList(
            version=worth.version,
            candidate=worth.candidate,
            promoted=worth.promoted,
            source=self._source,
            verdict=worth.verdict,
            assets=[NextPriceRow(**self._newest(asset)) for asset in self._days],
        )

    def history(self, asked: str, count: int) -> PriceHistory:
        """The last `count` days of an asset. Raises `UnknownAssetError`."""
        asset = self._find(asked)
        days = self._days[asset]
        # The row before predicted this day, unless days are missing between them.
        told = np.r_[False, days["forecast_for"][:-1] == days["date"][1:]]
        prediction = np.where(told, np.roll(days["prediction"], 1), np.nan)
        trained_on = told & np.roll(days["trained_on"], 1)
        shown = slice(-count, None)
        return PriceHistory(
            asset=asset,
            days=PriceDays(
                date=days["date"][shown].tolist(),
                price=days["price"][shown].tolist(),
                prediction=[_known(value) for value in prediction[shown].tolist()],
                trained_on=trained_on[shown].tolist(),
            ),
            forecast=self.of(asset),
        )

    def _find(self, asked: str) -> str:
        asset = self._spelt.get(asked, self._spelt.get(asked.casefold()))
        if asset is None:
            raise UnknownAssetError(asked, list(self._days))
        return asset

    def _newest(self, asset: str) -> dict[str, Any]:
        days: dict[str, NDArray[Any]] = self._days[asset]
        last = {name: values[-1] for name, values in days.items()}
        return {
            "asset": asset,
            "as_of": last["date"].item(),
            "price": float(last["price"]),
            "rsi": _known(float(last["rsi"])),
            "forecast_for": last["forecast_for"].item(),
            "prediction": _known(float(last["prediction"])),
            "beats_random_walk": bool(last["beats_random_walk"]),
        }


def _read_worth(said: dict[str, str]) -> _Worth:
    try:
        return _Worth.model_validate_json(said.get("model", ""))
    except ValidationError as error:
        raise NotPublishedError(
            f"the published table next_price_predictions does not say what made it; {REMEDY}"
        ) from error


def _measured(compared: _Compared, window: Window) -> Measured:
    model, walk = compared.model, compared.random_walk
    return Measured(
        from_=window.from_,
        to=window.to,
        days=model.rows,
        mae=model.mae,
        rmse=model.rmse,
        baseline_mae=walk.mae,
        baseline_rmse=walk.rmse,
        skill=model.skill,
        skill_interval=model.skill_interval,
    )


def _note(newest: dict[str, Any], compared: _Compared | None) -> str:
    if newest["prediction"] is None:
        return "There is no prediction: the model lacks an input of that day, as in an asset's first 30, or this asset."
    if compared is None:
        return f'Nothing shows that this beats "{BASELINE}": the asset has no days in the test window.'
    model, walk = compared.model, compared.random_walk
    days = f"{model.rows:,} days that the model had not seen"
    interval = " to ".join(map(signed_percent, model.skill_interval))
    if newest["beats_random_walk"]:
        return f'On {days} it saved {percent(model.skill)} (95 % interval {interval}) of the error of "{BASELINE}".'
    if model.skill > 0:
        saved = f"saved {percent(model.skill)} of its error (95 % interval {interval}), which may be chance"
        return f'It is not shown to beat "{BASELINE}": on {days} it {saved}.'
    errors = f"its mean error was {_four_digits(model.mae)}, that of today's price {_four_digits(walk.mae)}"
    return f'It does not beat "{BASELINE}": on {days} {errors}.'


def _four_digits(value: float) -> str:
    """Prices may be of any size: 0.00001234, 0.5000, 12,345."""
    return f"{value:,.{max(0, 3 - floor(log10(value)))}f}" if value > 0 else "0"


def _known(value: float) -> float | None:
    """JSON has no NaN: it becomes null."""
    return value if isfinite(value) else None
