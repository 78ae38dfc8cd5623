"""The engine that is this process."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from duckdb import DuckDBPyConnection

from stock_assets.features import LetterWork, told, write_letter
from stock_assets.learning.fitting import Fit, Labelled, train_here
from stock_assets.publishing import Report

if TYPE_CHECKING:
    from lightgbm import Booster


@dataclass(frozen=True)
class LocalEngine:
    """One letter after the other and one booster after the other, each with all threads."""

    threads: int
    report: Report

    def write_features(self, connection: DuckDBPyConnection, work: Sequence[LetterWork]) -> dict[str, float]:
        seconds = {}
        for one in work:
            self.report(told(one))
            start = time.perf_counter()
            write_letter(connection, one.letter, one.stale, one.path, self.report)
            seconds[one.letter] = time.perf_counter() - start
        return seconds

    def train(self, fit: Fit, training: Labelled, check: Labelled | None = None) -> "Booster":
        return train_here(fit, training, check)
