"""Three models of the next day's price: the published regression of raw values, a ridge and LightGBM on returns.

Each is published as a text: LightGBM's own, or coefficients as JSON.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from stock_assets.crypto.rows import INPUTS, PUBLISHED_INPUTS, PriceRows
from stock_assets.learning.boosters import load_booster
from stock_assets.learning.fitting import Fit, Labelled, Train, train_here
from stock_assets.learning.metrics import Array
from stock_assets.learning.training import REPEATABLE

if TYPE_CHECKING:
    from lightgbm import Booster

ALPHAS = (1.0, 10.0, 100.0, 1000.0, 10_000.0)
"""Penalties of the ridge; validation chooses."""
LIGHTGBM: dict[str, Any] = REPEATABLE | {
    # The median of the return is the median of the price, and that is what minimises the MAE.
    "objective": "l1",
    "metric": "l1",
    "learning_rate": 0.05,
    "num_leaves": 7,
    "min_data_in_leaf": 40,
}
MAX_ROUNDS = 200
PATIENCE = 20


class Line(NamedTuple):
    """A linear function of inputs by name."""

    intercept: float
    coefficients: dict[str, float]

    def __call__(self, rows: PriceRows) -> Array:
        values = rows.matrix(self.coefficients) @ np.array(list(self.coefficients.values()))
        return np.asarray(self.intercept + values)


class Candidate(Protocol):
    """A fitted model. `parameters` are those of its fit."""

    @property
    def parameters(self) -> dict[str, Any]: ...

    def predict(self, rows: PriceRows) -> Array:
        """The next day's prices, shape (n,); not a number where an input is unknown, or the asset was."""
        ...

    def text(self) -> str:
        """What `load` reads again."""
        ...


class LinearRaw(NamedTuple):
    """The published model: least squares of the next day's price, a line for each asset, as their prices have nothing
    in common."""

    lines: dict[str, Line]

    @property
    def parameters(self) -> dict[str, Any]:
        return {}

    def predict(self, rows: PriceRows) -> Array:
        predicted = np.full(len(rows.days), np.nan)
        for asset, places in rows.by_asset().items():
            if asset in self.lines:
                predicted[places] = np.maximum(self.lines[asset](rows.at(places)), 0)  # as no price is negative
        return predicted

    def text(self) -> str:
        return json.dumps({asset: line._asdict() for asset, line in self.lines.items()}, indent=1) + "\n"


class RidgeReturns(NamedTuple):
    """Ridge regression of the log return to the next day; `alpha` is the penalty for inputs of variance 1."""

    line: Line
    alpha: float

    @property
    def parameters(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def predict(self, rows: PriceRows) -> Array:
        return np.asarray(rows.price * np.exp(self.line(rows)))

    def text(self) -> str:
        return json.dumps(self.line._asdict() | {"alpha": self.alpha}, indent=1) + "\n"


class LightgbmReturns(NamedTuple):
    """A booster of the log return to the next day."""

    booster: "Booster"

    @property
    def parameters(self) -> dict[str, Any]:
        return LIGHTGBM | {"num_iterations": self.booster.num_trees()}

    def predict(self, rows: PriceRows) -> Array:
        returns = np.asarray(self.booster.predict(rows.matrix(INPUTS), num_threads=1))
        return np.where(rows.complete(*INPUTS), rows.price * np.exp(returns), np.nan)

    def text(self) -> str:
        return str(self.booster.model_to_string())


def fit_linear_raw(rows: PriceRows) -> LinearRaw:
    """Of rows with all inputs and a label."""
    fitted = {}
    for asset, places in rows.by_asset().items():
        own = rows.at(places)
        fitted[asset] = _least_squares(own, PUBLISHED_INPUTS, own.next_price, 0)
    return LinearRaw(fitted)


def fit_ridge_returns(rows: PriceRows, alpha: float) -> RidgeReturns:
    """Of rows with all inputs and a label."""
    return RidgeReturns(_least_squares(rows, INPUTS, rows.numbers["next_return"], alpha), alpha)


def fit_lightgbm_returns(training: PriceRows, validation: PriceRows, train: Train = train_here) -> LightgbmReturns:
    """Of rows with all inputs and a label; validation stops the boosting."""
    fit = Fit(LIGHTGBM | {"num_threads": 1}, INPUTS, MAX_ROUNDS, PATIENCE)
    return LightgbmReturns(train(fit, _returns(training), _returns(validation)))


def refit_lightgbm_returns(model: LightgbmReturns, rows: PriceRows, train: Train = train_here) -> LightgbmReturns:
    """As many trees as validation has decided on, of more rows."""
    fit = Fit(LIGHTGBM | {"num_threads": 1}, INPUTS, model.booster.num_trees())
    return LightgbmReturns(train(fit, _returns(rows), None))


def _returns(rows: PriceRows) -> Labelled:
    return Labelled(rows.matrix(INPUTS), rows.numbers["next_return"])


def load(name: str, text: bytes) -> Candidate:
    """The candidate of a published text. Raises `ValueError` for a text that is not of this candidate."""
    if name == "lightgbm_returns":
        return LightgbmReturns(load_booster(text))
    try:
        content = json.loads(text)
        if name == "linear_raw":
            return LinearRaw({asset: _line(values) for asset, values in content.items()})
        if name == "ridge_returns":
            return RidgeReturns(_line(content), float(content["alpha"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is not a text of {name}: {error}") from error
    raise ValueError(f"there is no candidate {name}")


def _line(content: Mapping[str, Any]) -> Line:
    return Line(float(content["intercept"]), dict(content["coefficients"]))


def _least_squares(rows: PriceRows, names: tuple[str, ...], label: Array, alpha: float) -> Line:
    """Least squares with a penalty on the coefficients of the inputs as scaled to variance 1; 0 is none."""
    from sklearn.linear_model import LinearRegression, Ridge  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    scaler = StandardScaler().fit(rows.matrix(names))
    regression = (Ridge(alpha) if alpha else LinearRegression()).fit(scaler.transform(rows.matrix(names)), label)
    slopes = regression.coef_ / scaler.scale_
    intercept = float(regression.intercept_ - slopes @ scaler.mean_)
    return Line(intercept, dict(zip(names, map(float, slopes), strict=True)))
