"""Training a booster: what a training is, whoever does it, and the one that is done in this process."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from stock_assets.learning.boosters import as_published
from stock_assets.learning.light_lightgbm import import_lightgbm
from stock_assets.learning.metrics import Array

if TYPE_CHECKING:
    from lightgbm import Booster


class Part(Protocol):
    """Some of the rows that a booster is trained on, for a machine that reads them itself."""

    @property
    def path(self) -> Path:
        """The file that has them."""
        ...

    @property
    def rows(self) -> int:
        """About how many there are."""
        ...

    def read(self, connection: DuckDBPyConnection, path: Path) -> "Labelled":
        """The rows, from `path` in place of the part's own."""
        ...


class Labelled(NamedTuple):
    """n rows to learn from: `inputs` (n, k), label and weight (n,). `parts` are the same rows where they are read."""

    inputs: NDArray[Any]
    label: Array
    weight: Array | None = None
    parts: Sequence[Part] = ()


class Fit(NamedTuple):
    """How a booster is trained: LightGBM's parameters, the names of the inputs, and the number of trees.

    With `patience` it stops after so many trees that did not lower the error on the rows to check by.
    """

    parameters: Mapping[str, Any]
    names: Sequence[str]
    rounds: int
    patience: int | None = None


Train = Callable[[Fit, Labelled, Labelled | None], "Booster"]
"""Trains a booster on rows, stopped early by others if there are any; it is as it will be published."""


def train_here(fit: Fit, training: Labelled, check: Labelled | None = None) -> "Booster":
    """Train in this process, with the `num_threads` of the parameters."""
    lightgbm = import_lightgbm()
    parameters = dict(fit.parameters)
    names = list(fit.names)
    dataset = lightgbm.Dataset(
        training.inputs, training.label, weight=training.weight, feature_name=names, params=parameters
    )
    if check is None:
        return as_published(lightgbm.train(parameters, dataset, fit.rounds))
    checked = lightgbm.Dataset(check.inputs, check.label, weight=check.weight, reference=dataset, params=parameters)
    stop = [lightgbm.early_stopping(fit.patience, verbose=False)] if fit.patience else []
    booster = lightgbm.train(parameters, dataset, fit.rounds, valid_sets=[checked], callbacks=stop)
    return as_published(booster, booster.best_iteration)
