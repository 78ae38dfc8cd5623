"""A prediction as it is answered: whole shares, an interval where the model has one, and what to be wary of."""

from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from serving.model import Array, LoadedModel, Volumes


class Prediction(BaseModel):
    """One row's answer."""

    volume: int = Field(description="Predicted volume of the day, in shares.")
    low: int | None = Field(description="Lower end of the 80 % interval, in shares; null where the model has none.")
    high: int | None = Field(description="Upper end of the 80 % interval, in shares; null where the model has none.")
    warnings: list[str] = Field(description="Inputs outside the range that the model was trained in.")


class Answers(NamedTuple):
    """n answers: volumes and both ends of the interval in whole shares, shape (n,).

    `outside` says by input which rows are outside the range of training.
    """

    volumes: Volumes
    low: Volumes | None
    high: Volumes | None
    outside: dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]

    def prediction(self, row: int) -> Prediction:
        return Prediction(
            volume=int(self.volumes[row]),
            low=None if self.low is None else int(self.low[row]),
            high=None if self.high is None else int(self.high[row]),
            warnings=[warning(name) for name, rows in self.outside.items() if rows[row]],
        )


def warning(name: str) -> str:
    """What is said of a row whose input of that name is outside the range of training."""
    return f"{name} is outside the range of training"


def answer(model: LoadedModel, inputs: Array) -> Answers:
    """The answers to inputs of shape (n, 2) that are within their limits."""
    predicted = model.predict_many(inputs)
    low, high = model.interval.around(inputs[:, 0], predicted) if model.interval else (None, None)
    return Answers(np.rint(predicted).astype(np.int64), low, high, model.outside(inputs))
