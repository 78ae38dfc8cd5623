"""The engine that is a Dask cluster: letters go to the workers, and a booster is trained by all of them together."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from duckdb import DuckDBPyConnection

from stock_assets.budget import thread_count
from stock_assets.engines.cluster import EXTRA, Cluster, open_cluster
from stock_assets.engines.storage import Storage, open_storage
from stock_assets.errors import UserError
from stock_assets.features import LetterWork
from stock_assets.layout import Layout
from stock_assets.learning.fitting import Fit, Labelled
from stock_assets.provenance import stale_letters
from stock_assets.publishing import Report
from stock_assets.settings import Settings

try:
    from stock_assets.engines.letters import Letters
    from stock_assets.engines.training import Trainer
except ImportError as error:
    raise UserError(f"STOCK_ASSETS_ENGINE=dask needs Dask, which is not installed: {EXTRA}") from error

if TYPE_CHECKING:
    from lightgbm import Booster


class DaskEngine:
    """A cluster that is opened when there is work, and the storage that it shares with this process."""

    def __init__(self, settings: Settings, report: Report, stack: ExitStack) -> None:
        self.threads = thread_count(settings)
        self.report = report
        self._settings = settings
        self._storage: Storage = open_storage(settings)
        self._stack = stack
        self._opened: Cluster | None = None

    def write_features(self, connection: DuckDBPyConnection, work: Sequence[LetterWork]) -> dict[str, float]:
        """Raises `UserError` also where `lake/combined`, which the workers read, is not what the database has."""
        if not work:
            return {}
        layout = Layout(self._settings.data_dir)
        if stale := stale_letters(connection, layout, "combined", [one.letter for one in work]):
            raise UserError(f"lake/combined of {', '.join(stale)} does not fit market.duckdb: materialize combined")
        letters = Letters(self._cluster(), self._storage, layout, self.report)
        return letters.write(connection, work)

    def train(self, fit: Fit, training: Labelled, check: Labelled | None = None) -> "Booster":
        return Trainer(self._cluster(), self._storage, self.report).train(fit, training, check)

    def _cluster(self) -> Cluster:
        if self._opened is None:
            self._opened = self._stack.enter_context(open_cluster(self._settings, self.report))
        return self._opened


@contextmanager
def open_dask_engine(settings: Settings, report: Report) -> Iterator[DaskEngine]:
    """The engine, with a cluster of its own until the end of the block where the settings name none."""
    with ExitStack() as stack:
        yield DaskEngine(settings, report, stack)
