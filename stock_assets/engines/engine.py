"""Where features are computed and boosters trained: in this process, or on the workers of a Dask cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from stock_assets.budget import thread_count
from stock_assets.engines.local import LocalEngine
from stock_assets.features import FeatureWriter
from stock_assets.learning.fitting import Fit, Labelled
from stock_assets.publishing import Report
from stock_assets.settings import Settings

if TYPE_CHECKING:
    from lightgbm import Booster


class Engine(FeatureWriter, Protocol):
    """What writes feature files and trains boosters; both raise `UserError` where they cannot."""

    @property
    def threads(self) -> int:
        """Threads for what this process does itself."""
        ...

    @property
    def report(self) -> Report: ...

    def train(self, fit: Fit, training: Labelled, check: Labelled | None = None) -> "Booster":
        """As `learning.fitting.Train`."""
        ...


@contextmanager
def open_engine(settings: Settings, report: Report) -> Iterator[Engine]:
    """The engine of the settings. Nothing is started or connected to before it has work.

    Raises `UserError` where the engine is `dask` and Dask is not installed.
    """
    if settings.engine == "local":
        yield LocalEngine(thread_count(settings), report)
    else:
        from stock_assets.engines.dask_engine import open_dask_engine  # noqa: PLC0415 - a second, and 50 MB

        with open_dask_engine(settings, report) as engine:
            yield engine
