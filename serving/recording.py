"""What is kept of the predictions that were answered: their number by version, a log, and what a shadow says."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from serving.backlog import Backlog, rows_of
from serving.metrics import BATCH_ROWS, LOG_DROPPED, PREDICTIONS
from serving.model import Array, LoadedModel, Volumes
from serving.prediction_log import PredictionLog
from serving.shadow import Shadow, load_shadow
from serving.store import ModelStore, logger
from stock_assets.layout import Layout
from stock_assets.settings import Settings

PASS_ON_SECONDS = 0.5
STOP_SECONDS = 20
"""What a stopping service gives a slow disk for the last file."""


class Recorder:
    """Told of every prediction of the volume model; it never makes an answer wait."""

    def __init__(self) -> None:
        self._backlog: Backlog | None = None

    def of(self, request_id: str) -> "Recording":
        """Where the predictions of one request go."""
        return Recording(self, request_id)

    def keep(
        self, request_id: str, model: LoadedModel, inputs: tuple[float, float] | Array, volumes: int | Volumes
    ) -> None:
        """Hand predictions to the thread, if there is one: one row, or inputs (n, 2) and volumes (n,) in shares."""
        backlog = self._backlog
        if backlog and (refused := backlog.add(request_id, model, inputs, volumes)):
            LOG_DROPPED.inc(refused)

    @asynccontextmanager
    async def at_work(self, settings: Settings, store: ModelStore) -> AsyncIterator[None]:
        """Log and compare predictions within the block, as the settings ask for; the log is whole after it."""
        version = settings.shadow_version
        shadow = await load_shadow(store, version) if version else None
        log = PredictionLog(Layout(settings.data_dir).predictions_log) if settings.prediction_log else None
        if not (log or shadow):
            yield
            return
        self._backlog = Backlog()
        keeper = Keeper(self._backlog, log, shadow)
        keeper.start()
        try:
            yield
        finally:
            keeper.stop()
            self._backlog = None


class Keeper(threading.Thread):
    """The thread that logs and compares what is in the backlog."""

    def __init__(self, backlog: Backlog, log: PredictionLog | None, shadow: Shadow | None) -> None:
        super().__init__(name="predictions", daemon=True)  # a disk that hangs must not keep the process from its end
        self._backlog = backlog
        self._log = log
        self._shadow = shadow
        self._stopping = False

    def run(self) -> None:
        try:
            while not self._stopping:
                self._backlog.wake.wait(PASS_ON_SECONDS)
                self._backlog.wake.clear()
                self._pass_on()
            self._pass_on()  # what came between the last look and the end
            if self._log:
                self._log.publish()
        except Exception:
            logger.critical("predictions are not logged or compared any more; restart the service", exc_info=True)

    def stop(self) -> None:
        """Return when all that was answered is kept, or after `STOP_SECONDS`."""
        self._stopping = True
        self._backlog.wake.set()
        self.join(STOP_SECONDS)
        if self.is_alive():
            logger.error("the last predictions could not be kept within %d s", STOP_SECONDS)

    def _pass_on(self) -> None:
        for rows in rows_of(self._backlog.take()):
            volumes = self._shadow.score(rows) if self._shadow else None
            if self._log:
                self._log.add(rows, self._shadow.model.version if self._shadow else None, volumes)
        if self._log:
            self._log.publish_if_due()


class Recording(NamedTuple):
    """The predictions of one request."""

    recorder: Recorder
    request_id: str

    def one(self, model: LoadedModel, inputs: tuple[float, float], volume: int) -> None:
        """A prediction of one row: its inputs in the order of `INPUTS`, and the answer in shares."""
        PREDICTIONS.labels(model.name, model.version).inc()
        self.recorder.keep(self.request_id, model, inputs, volume)

    def many(self, model: LoadedModel, inputs: Array, volumes: Volumes) -> None:
        """The predictions of a batch: inputs (n, 2), answers (n,) in shares."""
        PREDICTIONS.labels(model.name, model.version).inc(len(volumes))
        BATCH_ROWS.observe(len(volumes))
        self.recorder.keep(self.request_id, model, inputs, volumes)
