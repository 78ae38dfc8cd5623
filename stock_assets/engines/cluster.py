"""A Dask cluster: the one whose scheduler the settings name, or one of this machine that ends with its work."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stock_assets.budget import memory_bytes, thread_count
from stock_assets.errors import UserError, first_line
from stock_assets.layout import Layout
from stock_assets.publishing import Report
from stock_assets.settings import Settings

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_SECONDS = 10
"""Within which a scheduler must answer."""
NO_WORKERS_SECONDS = 20
"""Without any worker until the work is given up: a restarted one takes a few. With the 30 s that TCP takes to notice a
host that is cut off, that is less than a minute."""
LOOK_SECONDS = 1.0
"""Between two looks at the workers."""
RESTART_SECONDS = 30
"""For nannies to end their workers and to start them anew."""
LOGS = "their logs say why they ended, mostly for too little memory"
EXTRA = "pip install --require-hashes -r requirements-server.lock"


@dataclass
class Cluster:
    """A scheduler, and the client of it that features are computed by."""

    address: str
    client: "Client"
    _workers_seen: float = field(default_factory=time.monotonic)

    def workers(self) -> list[str]:
        """The addresses of the workers that are there now.

        Raises `UserError` where there has been none for `NO_WORKERS_SECONDS`, or the scheduler is gone.
        """
        with self._asked():
            found = sorted(self.client.nthreads())
        if found:
            self._workers_seen = time.monotonic()
        elif time.monotonic() - self._workers_seen > NO_WORKERS_SECONDS:
            raise self._deserted()
        return found

    def _deserted(self) -> UserError:
        return UserError(f"no Dask worker is left at {self.address}: start workers, then run again; {LOGS}")

    def wait_for_workers(self) -> list[str]:
        """The workers, once there is one. Raises `UserError` as `workers` does."""
        self._workers_seen = time.monotonic()
        while not (found := self.workers()):
            time.sleep(LOOK_SECONDS)
        return found

    def restart(self, workers: Sequence[str]) -> None:
        """Have those of these workers that are there started anew by their nannies, whatever they are busy with."""
        with self._asked(), suppress(KeyError):  # of a worker that is gone in between
            known = self.client.scheduler_info(n_workers=-1)["workers"]
            there = [worker for worker in workers if worker in known and known[worker]["nanny"]]
            self.client.restart_workers(there, timeout=RESTART_SECONDS, raise_for_error=False)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """The scheduler, or a `UserError` where it is gone."""
        try:
            yield
        except (OSError, RuntimeError, CancelledError) as error:
            raise UserError(f"the Dask scheduler at {self.address} does not answer any more: start it again") from error

    def results(self, futures: "Sequence[Future[Any]]", done: Callable[[int], None]) -> list[Any]:
        """What the tasks give, each told to `done` by its place as it ends. They are cancelled where one fails.

        Raises what the task raised, and `UserError` where nobody is left to do it.
        """
        waiting, found = dict(enumerate(futures)), dict[int, Any]()
        self._workers_seen = time.monotonic()  # nobody looked since the work before
        try:
            with self.translated():
                while waiting:
                    for place, future in list(waiting.items()):
                        if not future.done():
                            continue
                        try:
                            found[place] = future.result(timeout=LOOK_SECONDS)
                        except TimeoutError:
                            if future.status == "error":
                                raise
                            continue  # its worker is lost, and the task is done again
                        done(place)
                        waiting.pop(place).release()  # or it would be done again for every worker that is lost later
                    if waiting:
                        self.workers()
                        _wait(list(waiting.values()))
            return [found[place] for place in range(len(futures))]
        finally:
            if waiting:
                self.client.cancel(list(waiting.values()), force=True)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raises in words for the user what is wrong with the cluster, and not with a task."""
        from distributed.scheduler import NoValidWorkerError, NoWorkerError  # noqa: PLC0415

        try:
            yield
        except (NoWorkerError, NoValidWorkerError) as error:
            raise self._deserted() from error
        except CancelledError as error:
            raise UserError(f"the Dask scheduler at {self.address} has dropped its tasks: run again") from error
        except (ImportError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "deserializ" not in str(error):
                raise
            raise UserError(
                f"Dask at {self.address}: {first_line(error)}; install for the scheduler and the workers what is "
                "installed here"
            ) from error


def _wait(futures: "Sequence[Future[Any]]") -> None:
    """Until one of them has ended, but no longer than until the next look."""
    from distributed import wait  # noqa: PLC0415

    with suppress(TimeoutError):
        wait(futures, timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED")


@contextmanager
def open_cluster(settings: Settings, report: Report) -> Iterator[Cluster]:
    """The cluster of the settings, with at least one worker.

    Raises `UserError` where its scheduler does not answer or has no worker.
    """
    if settings.dask_scheduler:
        with _connected(settings.dask_scheduler, report) as cluster:
            yield cluster
    else:
        with _ephemeral(settings, report) as address, _connected(address, report) as cluster:
            yield cluster


@contextmanager
def _connected(address: str, report: Report) -> Iterator[Cluster]:
    with connect(address) as client, client.as_current():
        cluster = Cluster(address, client)
        workers = cluster.wait_for_workers()
        report(f"Dask at {address}: {len(workers)} workers")
        yield cluster


def connect(address: str) -> "Client":
    """A client of its own. Raises `UserError` where no scheduler answers."""
    from distributed import Client  # noqa: PLC0415

    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no Dask scheduler answers at {address} ({first_line(error)}): start it, or mend "
            "STOCK_ASSETS_DASK_SCHEDULER"
        ) from error
    except (TypeError, RuntimeError) as error:  # tls:// without certificates, or Dask told to take nothing else
        raise UserError(
            f"{address}: {first_line(error)}: mend STOCK_ASSETS_DASK_SCHEDULER, or Dask's configuration of TLS here"
        ) from error


@contextmanager
def _ephemeral(settings: Settings, report: Report) -> Iterator[str]:
    """A scheduler in this process, and a worker process for each thread; they end with it, however it ends."""
    from distributed import LocalCluster  # noqa: PLC0415

    count = thread_count(settings)
    report(f"starting {count} Dask workers on this machine")
    with LocalCluster(
        n_workers=count,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        memory_limit=memory_bytes() // (count + 1),
        # No `*.tmp`, which a run beside a search removes. What killed workers leave, Dask removes the next time.
        local_directory=str(Layout(settings.data_dir).dask),
    ) as cluster:
        yield str(cluster.scheduler_address)
