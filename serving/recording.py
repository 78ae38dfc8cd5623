"""What is kept of the predictions that were answered: their number, by version."""

from typing import NamedTuple

from serving.metrics import BATCH_ROWS, PREDICTIONS
from serving.model import Array, LoadedModel


class Recorder:
    """Told of every prediction of the volume model; it never makes an answer wait."""

    def of(self, request_id: str) -> "Recording":
        """Where the predictions of one request go."""
        return Recording(self, request_id)


class Recording(NamedTuple):
    """The predictions of one request."""

    recorder: Recorder
    request_id: str

    def one(self, model: LoadedModel, inputs: tuple[float, float], volume: int) -> None:
        """A prediction of one row: its inputs in the order of `INPUTS`, and the answer in shares."""
        PREDICTIONS.labels(model.name, model.version).inc()

    def many(self, model: LoadedModel, inputs: Array, volumes: Array) -> None:
        """The predictions of a batch: inputs (n, 2), answers (n,) in shares."""
        PREDICTIONS.labels(model.name, model.version).inc(len(volumes))
        BATCH_ROWS.observe(len(volumes))
