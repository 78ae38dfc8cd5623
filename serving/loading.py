"""One version of a model: its files verified, its text loaded, its self-test repeated."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from stock_assets.learning.boosters import load_booster
from stock_assets.learning.volume import INPUTS, MAX_VOLUME, Target, predict_volume
from stock_assets.registry import Pointer, verify

if TYPE_CHECKING:
    from lightgbm import Booster


class ModelRefusedError(Exception):
    """A version whose files are sound but that cannot be served; the message says which and why."""


class _SelfTest(BaseModel):
    inputs: list[tuple[FiniteFloat, FiniteFloat]] = Field(min_length=1)
    outputs: list[FiniteFloat]


class _Facts(BaseModel):
    """What the service needs of a manifest. The version becomes an HTTP header, hence the pattern."""

    version: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    inputs: tuple[str, ...]
    target: Target
    self_test: _SelfTest


@dataclass(frozen=True)
class LoadedModel:
    """One version, verified and tested. A request keeps the one that it started with."""

    name: str
    version: str
    promoted_at: datetime
    booster: "Booster"
    target: Target

    def predict(self, vol_moving_avg: float, adj_close_rolling_med: float) -> int:
        """Predicted volume in shares; the inputs are in shares and dollars, within their limits."""
        inputs = np.array([[vol_moving_avg, adj_close_rolling_med]])
        return round(float(predict_volume(self.booster, inputs, 1, self.target)[0]))


def load_model(folder: Path, pointer: Pointer) -> LoadedModel:
    """The version that a pointer names, from the very bytes that were held against its hash.

    Raises `RegistryError` for files that are missing or were changed, and `ModelRefusedError` for a
    manifest, a model text or a self-test that is not as the service needs it.
    """
    manifest, text = verify(folder, pointer)
    try:
        facts = _facts(manifest, pointer)
        booster = load_booster(text)
        _check(booster, facts)
    except ValueError as error:
        raise ModelRefusedError(f"{folder / pointer.path}: {error}") from error
    return LoadedModel(pointer.name, facts.version, pointer.promoted_at, booster, facts.target)


def _facts(manifest: dict[str, Any], pointer: Pointer) -> _Facts:
    try:
        facts = _Facts.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where} in the manifest: {first['msg']}") from error
    if facts.version != pointer.version:
        raise ValueError(f"it is version {facts.version!r}, but latest.json says {pointer.version!r}")
    if facts.inputs != INPUTS:
        raise ValueError(f"its inputs are {facts.inputs}, not {INPUTS}")
    return facts


def _check(booster: "Booster", facts: _Facts) -> None:
    """Raise `ValueError` unless the booster predicts what it did when it was published."""
    if booster.num_feature() != len(INPUTS):
        raise ValueError(f"the booster has {booster.num_feature()} inputs, not {len(INPUTS)}")
    highest = booster.upper_bound()
    limit = np.finfo(np.float64).max
    if not highest < (np.log(limit / MAX_VOLUME) if facts.target == "log_ratio" else limit):
        raise ValueError(f"its scores reach {highest:g}, so that a prediction could be infinite")
    expected = np.array(facts.self_test.outputs)
    actual = predict_volume(booster, np.array(facts.self_test.inputs), 1, facts.target)
    if expected.shape != actual.shape or not np.allclose(actual, expected, rtol=1e-9, atol=0):
        raise ValueError("its self-test fails: it does not predict what it did when it was published")
