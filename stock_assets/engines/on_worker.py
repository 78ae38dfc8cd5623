"""What a Dask worker does: the features of a letter or of some symbols of it, and rows to train on."""

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
from distributed import get_worker

from stock_assets.budget import memory_bytes
from stock_assets.engines.storage import Storage, worker_address
from stock_assets.errors import UserError
from stock_assets.features import write_letter
from stock_assets.learning.fitting import Labelled, Part
from stock_assets.provenance import Stale
from stock_assets.statements import recipe, run


class Piece(NamedTuple):
    """The features of a letter, or of some `symbols` of it, that are to be written as `target`.

    Files have names of a storage: that of the prices, that of the features that `stale` goes on from, and the target.
    `nameless` says that not all rows of the whole table have a "Security Name".
    """

    letter: str
    prices: str
    present: str
    target: str
    stale: Stale
    nameless: bool
    symbols: list[str] | None = None


class Made(NamedTuple):
    """The seconds that it took, and what the run is to be told of it."""

    seconds: float
    told: list[str]


def write_piece(storage: Storage, piece: Piece) -> Made:
    """Write the features, by the statements that the local engine has.

    It may run twice at the same time, where a worker is taken for lost. Raises `UserError` for other code.
    """
    start, stale, told = time.perf_counter(), piece.stale, list[str]()
    _require_same_code(stale)
    with _connection() as (connection, scratch):
        prices = str(storage.fetch(piece.prices, scratch))
        run(connection, "create_combined")
        run(connection, "engines/load_combined", path=prices, letter=piece.letter, symbols=piece.symbols)
        if piece.nameless:
            run(connection, "engines/add_nameless")
        run(connection, f"{stale.statements}create_features")
        if stale.kept:
            stale = stale._replace(present=storage.fetch(piece.present, scratch))
        with storage.written(piece.target, scratch) as path:
            write_letter(connection, piece.letter, stale, path, told.append)
    return Made(time.perf_counter() - start, told)


def join_pieces(storage: Storage, whole: Piece, names: Sequence[str], made: Sequence[Made]) -> Made:
    """Write a letter of the pieces that were made of it: the rows are those of the local engine."""
    start, stale = time.perf_counter(), whole.stale
    with _connection() as (connection, scratch):
        paths = [str(storage.fetch(name, scratch)) for name in names]
        run(connection, f"engines/{stale.statements}load_features", paths=paths, letter=whole.letter)
        with storage.written(whole.target, scratch) as path:
            target = {"letter": whole.letter, "path": str(path), "made_from": stale.made_from}
            run(connection, f"{stale.statements}export_features", **target)
    seconds = time.perf_counter() - start + sum(one.seconds for one in made)
    return Made(seconds, [line for one in made for line in one.told])


def read_rows(storage: Storage, parts: Sequence[tuple[str, Part]]) -> Labelled:
    """The rows of these parts, which lie in files of these names, one after the other."""
    with _connection() as (connection, scratch):
        found = [part.read(connection, storage.fetch(name, scratch)) for name, part in parts]
    return Labelled(np.concatenate([rows.inputs for rows in found]), np.concatenate([rows.label for rows in found]))


@contextmanager
def _connection() -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """DuckDB with one task's share of the worker, and a folder of the worker's own."""
    worker = get_worker()
    tasks = worker.state.nthreads
    memory = (worker.memory_manager.memory_limit or memory_bytes()) // 2 // tasks
    with tempfile.TemporaryDirectory(dir=worker.local_directory) as folder:
        config: dict[str, Any] = {
            "threads": 1,
            "memory_limit": f"{memory // 2**20}MiB",
            "temp_directory": f"{folder}/duckdb",
        }
        with duckdb.connect(config=config) as connection:
            yield connection, Path(folder)


def _require_same_code(stale: Stale) -> None:
    wanted, own = json.loads(stale.made_from)["recipe"], recipe(stale.statements.rstrip("/"))
    if wanted != own:
        raise UserError(
            f"the Dask worker {worker_address()} has another version of stock_assets or of DuckDB: install there what "
            "is installed here"
        )
