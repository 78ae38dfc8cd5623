"""LightGBM on a cluster: every worker holds a part of the rows, and all of them grow the same trees together."""

import re
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.array
import numpy as np
from dask.delayed import delayed
from distributed import Client, wait
from numpy.typing import NDArray

from stock_assets.engines.cluster import LOGS, LOOK_SECONDS, Cluster, connect
from stock_assets.engines.on_worker import read_rows
from stock_assets.engines.storage import Storage
from stock_assets.errors import UserError, first_line
from stock_assets.learning.boosters import as_published, load_booster
from stock_assets.learning.fitting import Fit, Labelled, Part
from stock_assets.learning.light_lightgbm import import_whole_lightgbm
from stock_assets.publishing import Report

if TYPE_CHECKING:
    from lightgbm import Booster

TRIES = 3
"""Of a training as a whole: LightGBM cannot go on without one of its machines."""
TIME_OUT = 2
"""Minutes until LightGBM takes a machine for lost that says nothing, where Dask does not see it first."""
WORKER_ROWS = 5000
"""Rows below which one more worker is not worth its share of the talk."""
NOISE = 1e-12
"""An improvement by less is none: workers add up errors in another order, and must stop at the same tree."""
OWN_NETWORK = {
    "machines": "",
    "num_machines": "1",
    "local_listen_port": "12400",
    "time_out": "120",
    "tree_learner": "serial",
}
"""LightGBM's parameters for one machine, in the text of a model that many have trained: it is no other model."""


class LostWorkersError(Exception):
    """A training that cannot come to its end, for workers that it had are gone."""


@dataclass(frozen=True)
class Trainer:
    """What trains on all workers of a cluster; rows that have parts are read from the storage by the workers.

    After a broken training LightGBM is of no more use in the processes that took part: it waits for the lost worker for
    minutes and then ends its process (while they connect), or keeps the broken connections for the next training in
    that thread. So these workers are started anew.
    """

    cluster: Cluster
    storage: Storage
    report: Report

    def train(self, fit: Fit, training: Labelled, check: Labelled | None) -> "Booster":
        """The booster, as it is published. Raises `UserError` where `TRIES` trainings were broken off."""
        named = [(self.storage.offer(part.path), part) for part in training.parts]
        for left in reversed(range(TRIES)):
            workers = self.cluster.wait_for_workers()
            most = min(len(training.label) // WORKER_ROWS, len(named) or len(workers))
            chosen = workers[: max(1, most)]
            try:
                return self._try(_Attempt(fit, training, check, named, chosen, self.storage))
            except (LostWorkersError, import_whole_lightgbm().basic.LightGBMError) as error:
                self.cluster.restart(chosen)
                if not left:
                    raise UserError(
                        f"LightGBM on Dask failed {TRIES} times, last: {first_line(error)}; of lost workers, {LOGS}"
                    ) from error
                self.report(f"the training was broken off ({first_line(error)}): again from the start")
        raise AssertionError("the last try returns or raises")

    def _try(self, attempt: "_Attempt") -> "Booster":
        """One training in another thread, given up once it has lost a worker.

        Its client is its own: closing that lets the thread go, and the cluster forget the tasks.
        """
        client = connect(self.cluster.address)
        with ThreadPoolExecutor(1) as pool:
            training = pool.submit(attempt.run, client)
            try:
                self._watch(training, attempt.workers)
                return training.result()
            except LostWorkersError:
                raise
            except Exception as error:
                if lost := set(attempt.workers) - set(self.cluster.workers()):
                    raise LostWorkersError(f"lost {', '.join(sorted(lost))}") from error
                with self.cluster.translated():
                    raise
            finally:
                client.close()

    def _watch(self, training: "Future[Booster]", workers: Sequence[str]) -> None:
        """Return once it has ended. Raises `LostWorkersError` once it cannot, and what `Cluster.workers` does."""
        while not wait_for([training], LOOK_SECONDS).done:
            if lost := set(workers) - set(self.cluster.workers()):
                raise LostWorkersError(f"lost {', '.join(sorted(lost))}")


@dataclass(frozen=True)
class _Attempt:
    """A training by these workers."""

    fit: Fit
    training: Labelled
    check: Labelled | None
    parts: Sequence[tuple[str, Part]]
    workers: Sequence[str]
    storage: Storage

    def run(self, client: Client) -> "Booster":
        with client.as_current():
            return self._run(client)

    def _run(self, client: Client) -> "Booster":
        """Every worker checks by all rows to check by, so that all stop at the same tree."""
        rows = self._spread(client)
        how: dict[str, Any] = {"feature_name": list(self.fit.names)}
        if self.check:
            whole = client.scatter(tuple(self.check[:3]), workers=list(self.workers), broadcast=True, hash=False)
            # One future for each worker: what is made of two goes to where more of it lies, on any of the workers.
            rows = [
                client.submit(_both, own, whole, workers=[worker], allow_other_workers=False, pure=False)
                for own, worker in zip(rows, self.workers, strict=True)
            ]
            checked = _arrays(rows, self.check, first=3)
            how |= {"eval_X": checked["X"], "eval_y": checked["y"]}
            if "sample_weight" in checked:
                how["eval_sample_weight"] = [checked["sample_weight"]]
            if self.fit.patience:
                stop = import_whole_lightgbm().early_stopping(self.fit.patience, verbose=False, min_delta=NOISE)
                how["callbacks"] = [stop]
        parameters = {name: value for name, value in self.fit.parameters.items() if name != "num_threads"}
        regressor = import_whole_lightgbm().DaskLGBMRegressor(
            n_estimators=self.fit.rounds, tree_learner="data", time_out=TIME_OUT, client=client, **parameters
        )
        regressor.fit(**_arrays(rows, self.training), **how)
        booster = regressor.to_local().booster_
        return _alone(booster, booster.best_iteration if self.check else None)

    def _spread(self, client: Client) -> list[Any]:
        """A future of (inputs, label, weight) on each worker."""
        if not self.parts:
            count = len(self.workers)
            return [
                client.scatter(_every(self.training, place, count), workers=[worker], hash=False)
                for place, worker in enumerate(self.workers)
            ]
        shares = _shared_out(self.parts, len(self.workers))
        futures = [
            client.submit(read_rows, self.storage, share, workers=[worker], allow_other_workers=False, pure=False)
            for worker, share in zip(self.workers, shares, strict=True)
        ]
        wait(futures)
        for future in futures:
            if future.status == "error":
                future.result()
        return futures


def _every(rows: Labelled, first: int, step: int) -> tuple[Any, ...]:
    """Every so manyth row, so that all workers have rows of all kinds and times."""
    return tuple(values if values is None else np.ascontiguousarray(values[first::step]) for values in rows[:3])


def _shared_out(parts: Sequence[tuple[str, Part]], workers: int) -> list[list[tuple[str, Part]]]:
    """The parts in at most so many heaps of about as many rows each, none empty."""
    heaps: list[list[tuple[str, Part]]] = [[] for _ in range(min(workers, len(parts)))]
    rows = [0] * len(heaps)
    for named in sorted(parts, key=lambda named: -named[1].rows):
        least = rows.index(min(rows))
        heaps[least].append(named)
        rows[least] += named[1].rows
    return heaps


def _both(rows: Sequence[Any], others: Sequence[Any]) -> tuple[Any, ...]:
    """Two times inputs, label and weight."""
    return (*rows[:3], *others)


def _arrays(futures: Sequence[Any], like: Labelled, first: int = 0) -> dict[str, Any]:
    """Dask arrays of a block for each future, by the names that `fit` has for inputs, label and weight.

    In the futures these are at the places from `first` on.
    """
    names = {"X": like.inputs, "y": like.label, "sample_weight": like.weight}
    return {
        name: _joined([delayed(future)[place] for future in futures], values)
        for place, (name, values) in enumerate(names.items(), first)
        if values is not None
    }


def _joined(blocks: Sequence[Any], like: NDArray[Any]) -> Any:
    shape = (np.nan, *like.shape[1:])
    arrays = [dask.array.from_delayed(block, shape, like.dtype) for block in blocks]
    return dask.array.concatenate(arrays, allow_unknown_chunksizes=True)


def _alone(booster: "Booster", rounds: int | None) -> "Booster":
    """The booster as it is published, without the addresses of the workers in its text."""
    text = as_published(booster, rounds).model_to_string()
    for name, value in OWN_NETWORK.items():
        text = re.sub(rf"\[{name}: [^\]]*\]", f"[{name}: {value}]", text)
    return load_booster(text.encode())
