"""A model in service: one version's answers as a table, its interval, and the ranges that it was trained in."""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, FiniteFloat, model_validator

from stock_assets.learning.lookup import ScoreTable
from stock_assets.learning.volume import INPUTS, MAX_VOLUME, Target

Array = NDArray[np.float64]
Volumes = NDArray[np.int64]

LIMIT = 2.0**63
"""Volumes are 64-bit integers."""


class Range(BaseModel):
    """The smallest and the largest value of an input among the training rows."""

    min: FiniteFloat
    max: FiniteFloat


class Interval(BaseModel):
    """Both ends of an interval are the prediction times a ratio, by bucket of the moving average.

    `edges` are in shares, rising; an edge belongs to the bucket above it. `nominal` is the share of actual volumes that
    the interval was made to hold.
    """

    nominal: float
    edges: list[FiniteFloat]
    low: list[FiniteFloat]
    high: list[FiniteFloat]

    @model_validator(mode="after")
    def _one_ratio_a_bucket(self) -> "Interval":
        if not len(self.low) == len(self.high) == len(self.edges) + 1:
            raise ValueError("an interval has one ratio more than edges")
        return self

    def around(self, moving_average: Array, volumes: Array) -> tuple[Volumes, Volumes]:
        """Both ends in whole shares, rounded outwards; all of shape (n,)."""
        bucket = np.searchsorted(self.edges, moving_average, side="right")
        low, high = (volumes * np.array(ratios)[bucket] for ratios in (self.low, self.high))
        return np.floor(low).astype(np.int64), np.minimum(np.ceil(high), np.nextafter(LIMIT, 0)).astype(np.int64)


@dataclass(frozen=True)
class LoadedModel:
    """One version, verified and tested. A request keeps the one that it started with.

    `answers` holds what a cell's score becomes: a factor of the moving average, or the volume itself. `promoted_at` is
    None for a version that was asked for by its name. `manifest` is that of its folder.
    """

    name: str
    version: str
    promoted_at: datetime | None
    target: Target
    answers: ScoreTable
    interval: Interval | None
    ranges: dict[str, Range]
    manifest: dict[str, Any]

    @classmethod
    def of_scores(cls, scores: ScoreTable, *, target: Target, **facts: Any) -> "LoadedModel":
        """Raises `ValueError` for scores that could give a volume which is no 64-bit integer."""
        with np.errstate(over="ignore"):
            cells = np.exp(scores.scores) if target == "log_ratio" else np.maximum(scores.scores, 0.0)
        largest = float(cells.max()) * (MAX_VOLUME if target == "log_ratio" else 1)
        if not largest < LIMIT:
            raise ValueError(f"its scores reach {scores.scores.max():g}, so that a prediction could be too large")
        return cls(target=target, answers=ScoreTable(scores.edges, cells), **facts)

    def predict(self, vol_moving_avg: float, adj_close_rolling_med: float) -> int:
        """Predicted volume in shares; the inputs are in shares and dollars, within their limits."""
        volumes, prices, answers = self._lists
        answer = answers[bisect_left(volumes, vol_moving_avg)][bisect_left(prices, adj_close_rolling_med)]
        return round(vol_moving_avg * answer if self.target == "log_ratio" else answer)

    def predict_many(self, inputs: Array) -> Array:
        """Predicted volumes in shares, not yet rounded, of inputs (n, 2) in the order of `INPUTS`: the same answers."""
        answers = self.answers.score(inputs[:, 0], inputs[:, 1])
        return inputs[:, 0] * answers if self.target == "log_ratio" else answers

    def outside(self, inputs: Array) -> dict[str, NDArray[np.bool_]]:
        """By input, which rows of shape (n, 2) lie outside the range that the model was trained in."""
        known = [
            (name, inputs[:, place], self.ranges[name]) for place, name in enumerate(INPUTS) if name in self.ranges
        ]
        return {name: (values < trained.min) | (values > trained.max) for name, values, trained in known}

    @cached_property
    def _lists(self) -> tuple[list[float], list[float], list[list[float]]]:
        """The table as Python's own numbers: for one row, numpy costs more than it saves."""
        return (*(edges.tolist() for edges in self.answers.edges), self.answers.scores.tolist())
