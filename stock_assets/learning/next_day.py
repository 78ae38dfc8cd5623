"""The model of the next trading day's volume: arrays in, boosters and numbers out."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stock_assets.learning.evaluation import Group, liquidity
from stock_assets.learning.fitting import Fit, Labelled, Train, train_here
from stock_assets.learning.intervals import margin_of
from stock_assets.learning.metrics import Array
from stock_assets.learning.split import Days

if TYPE_CHECKING:
    from lightgbm import Booster

# By columns one core waits for the other: training took 1.4 times as long.
REPEATABLE: dict[str, Any] = {"seed": 7, "deterministic": True, "force_row_wise": True, "verbosity": -1}
PARAMETERS: dict[str, Any] = {
    # The median of the log volume is the median of the volume, and that is what minimises MAE in shares.
    "objective": "l1",
    "metric": "l1",
    "learning_rate": 0.1,
    "num_leaves": 63,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "max_bin": 127,
}
QUANTILE_PARAMETERS = PARAMETERS | {
    "objective": "quantile",
    "metric": "quantile",
    "learning_rate": 0.15,
    "num_leaves": 31,
}
MAX_ROUNDS = 150
QUANTILE_ROUNDS = 80
PATIENCE = 20
ONE_SIDED = 0.75
"""The high end of an interval that begins at 0, as a share of the way from the median to the 90 % quantile.

A normal distribution has its 80 % quantile at 0.66 of the way; the distribution of thin volumes has longer tails.
"""
RECENCY_YEARS = 10.0
"""Rows of so many years before the end of training weigh 1/e: the market of the eighties is not that of the test."""
SIZE_POWER = 0.2
"""A row's weight grows with this power of its volume: an error of a log is one in percent, but shares count."""


class Trainer(NamedTuple):
    """How boosters of inputs with these names are trained, and the threads for that in this process."""

    names: Sequence[str]
    threads: int
    train: Train = train_here


class NextDayRows(NamedTuple):
    """Rows of symbols at their day's close, n of them.

    `inputs` (n, k) float32, not a number where unknown. `offset`: the log of 1 + shares that the booster's score is
    added to, from the day itself. `log_mean`: mean log volume of 20 days. `mean`: mean volume of 30 days, in shares.
    `volume` is the label, the next trading day's in shares; not a number where it is not known.
    """

    days: Days
    inputs: NDArray[np.float32]
    offset: Array
    log_mean: Array
    mean: Array
    volume: Array

    def at(self, rows: NDArray[Any] | slice) -> "NextDayRows":
        return NextDayRows._make(values[rows] for values in self)

    def buckets(self) -> Group:
        return liquidity(self.mean)

    def label(self) -> Array:
        """Log of 1 + the next day's shares, less the offset: zeros keep a place of their own."""
        return np.log1p(self.volume) - self.offset


class NextDayBoosters(NamedTuple):
    """The median and the two ends of the interval."""

    point: "Booster"
    low: "Booster"
    high: "Booster"


class Forecast(NamedTuple):
    """Shares, shape (n,) each: the median forecast and its prediction interval."""

    point: Array
    low: Array
    high: Array


class Explanation(NamedTuple):
    """Why n point forecasts are what they are: 1 + forecast = (1 + level) * exp(the sum of its contributions).

    `level` (n,): the forecast if no input said anything, in shares. Where nothing is traded it may lie a fraction of a
    share below 0, and the forecast, which does not, be above what the sum gives. `contributions` (n, k): SHAP values of
    the inputs, in log of 1 + shares.
    """

    level: Array
    contributions: Array


def fit(training: NextDayRows, validation: NextDayRows, parameters: Mapping[str, Any], trainer: Trainer) -> "Booster":
    """A booster of the label, of weighted rows, stopped early on validation."""
    settings = REPEATABLE | dict(parameters) | {"num_threads": trainer.threads}
    learnt = Labelled(training.inputs, training.label(), weights(training))
    check = Labelled(validation.inputs, validation.label(), size_weights(validation))
    return trainer.train(Fit(settings, trainer.names, MAX_ROUNDS, PATIENCE), learnt, check)


def fit_quantile(training: NextDayRows, quantile: float, trainer: Trainer) -> "Booster":
    """A booster of a quantile of the label; unweighted, as the interval is to hold for every symbol."""
    settings = REPEATABLE | QUANTILE_PARAMETERS | {"alpha": quantile, "num_threads": trainer.threads}
    learnt = Labelled(training.inputs, training.label())
    return trainer.train(Fit(settings, trainer.names, QUANTILE_ROUNDS), learnt, None)


def weights(rows: NextDayRows) -> Array:
    """More for recent rows and for larger volumes, shape (n,); they take nothing from rows after these."""
    years = (rows.days.max() - rows.days).astype("timedelta64[D]").astype(np.float64) / 365.25
    return np.asarray(size_weights(rows) * np.exp(-years / RECENCY_YEARS))


def size_weights(rows: NextDayRows) -> Array:
    return np.asarray(np.exp(SIZE_POWER * rows.log_mean))


class Logs(NamedTuple):
    """Logs of 1 + shares, shape (n,) each: the median and the ends of the interval before their margins."""

    point: Array
    low: Array
    high: Array


def predict_logs(boosters: NextDayBoosters, rows: NextDayRows, threads: int) -> Logs:
    """What the boosters say. Where the low end is below one share nothing lies below the interval.

    Zeros are inside then, however many they are: all misses are above, so the high end is that of the 80 % quantile.
    """
    point, low, high = (rows.offset + booster.predict(rows.inputs, num_threads=threads) for booster in boosters)
    open_below = low < np.log(2)
    one_sided = point + ONE_SIDED * (high - point)
    return Logs(point, np.where(open_below, -np.inf, low), np.where(open_below, one_sided, high))


def forecast(boosters: NextDayBoosters, margins: dict[str, float], rows: NextDayRows, threads: int) -> Forecast:
    """The forecasts in shares: an interval holds its own forecast, and none is below 0."""
    point, low, high = predict_logs(boosters, rows, threads)
    margin = margin_of(margins, rows.buckets())
    logs = (point, np.minimum(low - margin, point), np.maximum(high + margin, point))
    return Forecast(*(np.maximum(np.expm1(values), 0) for values in logs))


def explain(booster: "Booster", rows: NextDayRows, threads: int) -> Explanation:
    """What each input does to the point forecasts of these rows, by LightGBM's own SHAP values."""
    found = np.asarray(booster.predict(rows.inputs, num_threads=threads, pred_contrib=True))
    return Explanation(np.expm1(rows.offset + found[:, -1]), found[:, :-1])
