"""Data folders with published features, changed in ways that a market would hardly show, and models made of them."""

import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from stock_assets.layout import LETTERS, Layout
from stock_assets.learning.candidates import NAMES
from stock_assets.provenance import read_made_from
from stock_assets.settings import Settings
from stock_assets.versions import Trained
from stock_assets.volume_candidates import Made, make_candidates
from stock_assets.volume_model import make_volume_model

QUICK = ("lightgbm_log_ratio", "constant_multiple", "log_log")
"""Candidates that take no time: two that can be served, and one that cannot."""


def take_features(source: Layout, target: Layout) -> Layout:
    """A data folder with the features and the manifest of another one."""
    shutil.copytree(source.data_dir / "lake" / "features", target.data_dir / "lake" / "features")
    target.raw.mkdir()
    shutil.copy(source.manifest, target.manifest)
    return target


def change_features(layout: Layout, select: str, only: str = "") -> None:
    """Other features, as they would be made of other files: their fingerprints are other ones too."""
    for path in layout.data_dir.glob("lake/features/*/part-0.parquet"):
        copy = path.with_name("copy.parquet")
        with duckdb.connect() as connection:
            made_from = json.loads(read_made_from(connection, path))
            made_from["files"] = {symbol: text[:16] + select for symbol, text in made_from["files"].items()}
            statement = f"COPY (SELECT {select} FROM read_parquet($path) {only}) TO $copy"
            connection.execute(
                f"{statement} (FORMAT parquet, KV_METADATA {{made_from: $made_from}})",
                {"path": str(path), "copy": str(copy), "made_from": json.dumps(made_from)},
            )
        copy.replace(path)


def replace_volume(layout: Layout, expression: str) -> None:
    """Other volumes beside the same features."""
    change_features(layout, f'* REPLACE ({expression} AS "Volume")')


@contextmanager
def database_of(layout: Layout) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database whose prices are those that the features were made of; every second symbol is an ETF."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(
            'CREATE TABLE source_files (file VARCHAR, letter VARCHAR, "Symbol" VARCHAR, fingerprint VARCHAR, '
            "rows_kept BIGINT)"
        )
        for letter in LETTERS:
            said = read_made_from(connection, layout.parquet("features", letter))
            for place, (symbol, fingerprint) in enumerate(json.loads(said)["files"].items() if said else ()):
                file = f"{'etfs' if place % 2 else 'stocks'}/{symbol}.csv"
                row = [file, letter, symbol, fingerprint]
                connection.execute("INSERT INTO source_files VALUES (?, ?, ?, ?, 1)", row)
        yield connection


def make_only_candidates(layout: Layout, names: Collection[str] = NAMES, **settings: Any) -> dict[str, Made]:
    with database_of(layout) as connection:
        chosen = Settings(**{"data_dir": layout.data_dir, "threads": 1, **settings})
        return make_candidates(connection, chosen, names, "a-run", lambda _: None)


def make_only_model(layout: Layout, **settings: Any) -> Trained:
    with database_of(layout) as connection:
        chosen = Settings(**{"data_dir": layout.data_dir, "threads": 1, **settings})
        return make_volume_model(connection, chosen, 1, "the/asset", "a-run")


def make(layout: Layout, names: Collection[str] = QUICK, **settings: Any) -> Trained:
    """The candidates and the model, as a run of the whole graph makes them."""
    make_only_candidates(layout, names, **settings)
    return make_only_model(layout, **settings)
