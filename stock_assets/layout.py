"""Where each published thing lies under the data folder, and the letters that partition it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Table = Literal["combined", "features", "next_day_features", "volume_predictions"]
CryptoTable = Literal["crypto_prices", "crypto_quarantine", "crypto_features", "next_price_predictions"]
"""The tables of the crypto pipeline; all others are the market's."""

LETTERS = ("0", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""Partition keys in order: `0` for every symbol that does not begin with a letter from A to Z."""

PRICE_COLUMNS = ("Date", "Open", "High", "Low", "Close", "Adj Close", "Volume")
"""The header of a price file."""


def letter_of(symbol: str) -> str:
    """The partition of a symbol: its first letter in upper case, or `0`."""
    first = symbol[:1]
    return first.upper() if first.isascii() and first.isalpha() else "0"


@dataclass(frozen=True)
class Layout:
    """Paths of the data contract; nothing is made or checked here."""

    data_dir: Path

    @property
    def raw(self) -> Path:
        return self.data_dir / "raw"

    @property
    def manifest(self) -> Path:
        return self.raw / "manifest.json"

    @property
    def database(self) -> Path:
        return self.data_dir / "market.duckdb"

    @property
    def crypto_manifest(self) -> Path:
        return self.raw / "crypto.json"

    @property
    def crypto_demo(self) -> Path:
        return self.raw / "crypto-demo"

    @property
    def crypto_database(self) -> Path:
        return self.data_dir / "crypto.duckdb"

    @property
    def models(self) -> Path:
        return self.data_dir / "models"

    @property
    def dagster_home(self) -> Path:
        return self.data_dir / "dagster"

    @property
    def experiments(self) -> Path:
        return self.data_dir / "experiments.db"

    @property
    def search(self) -> Path:
        """The trials of all searches for hyper-parameters."""
        return self.data_dir / "search.db"

    @property
    def search_lock(self) -> Path:
        return self.data_dir / "search.lock"

    @property
    def dask(self) -> Path:
        """Where the workers of a cluster of this machine put what does not fit their memory."""
        return self.data_dir / "dask.scratch"

    def parameters(self, model: str) -> Path:
        """The hyper-parameters that were found for a model, in place of its own."""
        return self.models / model / "parameters.json"

    @property
    def log(self) -> Path:
        return self.data_dir / "logs" / "pipeline.jsonl"

    @property
    def predictions_log(self) -> Path:
        """What the service was asked and answered, if it keeps that."""
        return self.data_dir / "logs" / "predictions"

    @property
    def lock(self) -> Path:
        return self.data_dir / "run.lock"

    @property
    def lake(self) -> Path:
        """The Parquet files of all tables."""
        return self.data_dir / "lake"

    @property
    def lake_lock(self) -> Path:
        """Held while the models that are in the lake are decided on, and by the service that mirrors it."""
        return self.data_dir / "lake.lock"

    def parquet(self, table: Table, letter: str) -> Path:
        """The one Parquet file of a letter; its name never changes, so replacing it is atomic."""
        return self.lake / table / f"letter={letter}" / "part-0.parquet"

    @property
    def quarantine(self) -> Path:
        return self.lake / "quarantine" / "part-0.parquet"

    @property
    def symbols(self) -> Path:
        return self.lake / "symbols" / "part-0.parquet"

    def restatements(self, before: str, after: str) -> Path:
        """What one snapshot restated of another one, given by their versions."""
        return self.lake / "restatements" / f"{before}-{after}.parquet"

    def crypto(self, table: CryptoTable) -> Path:
        """The one Parquet file of a table of the crypto pipeline."""
        return self.lake / table / "part-0.parquet"

    def next_day(self, name: Literal["forecasts", "explanations", "backtest"]) -> Path:
        """What the next-day model said: of the next session, why, or of the test window."""
        return self.lake / f"next_day_{name}" / "part-0.parquet"
