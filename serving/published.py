"""Reads the published Parquet files: small ones whole and kept in memory, of large ones the rows of one symbol."""

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from serving.arrays import empty, to_numpy
from serving.store import logger, signature

Columns = dict[str, NDArray[Any]]
"""Columns of the same length by name: dates as `datetime64[D]`, whole numbers as such, strings as objects."""
T = TypeVar("T")
RUN = "run the pipeline (make run)"
"""What to do where a file is missing that the pipeline publishes."""

BATCH_ROWS = 4096
BUFFER_BYTES = 65_536
"""What is in memory at a time where one symbol's rows are picked: a row group of 122,880 whole is several megabytes."""


class NotPublishedError(Exception):
    """A file that is not there or not as the service needs it; the message says which and what to do."""


def or_nothing(read: Callable[[], T]) -> T | None:
    """None where a file is not published, for an answer that is useful without it."""
    try:
        return read()
    except NotPublishedError:
        return None


class Cached(Generic[T]):
    """What was made of a published file, made again when the file was replaced. For use from several threads."""

    def __init__(
        self, path: Path, make: Callable[[Columns, dict[str, str]], T], columns: Sequence[str], remedy: str = RUN
    ) -> None:
        self._path = path
        self._make = make
        self._columns = columns
        self._remedy = remedy
        self._kept: tuple[tuple[int, ...], T] | None = None
        self._loading = threading.Lock()

    def get(self) -> T:
        """Costs one `stat` while the file stays. Raises `NotPublishedError`."""
        seen = signature(self._path)
        kept = self._kept
        if seen is not None and kept and kept[0] == seen:
            return kept[1]
        with self._loading:
            # Seen before it is opened: a file that comes in between is only loaded once more.
            seen = signature(self._path)
            if self._kept is None or self._kept[0] != seen:
                made = self._make(*read_all(self._path, self._columns, self._remedy))
                self._kept = seen or (), made
            return self._kept[1]


def read_all(path: Path, columns: Sequence[str], remedy: str = RUN) -> tuple[Columns, dict[str, str]]:
    """These columns of a whole file, and what its metadata says. Raises `NotPublishedError`, which says the remedy."""
    with _opened(path, columns, remedy) as file:
        table = file.read(columns=list(columns), use_threads=False)
        return {name: to_numpy(table[name].combine_chunks()) for name in columns}, _said(file)


def read_symbol(path: Path, symbol: str, columns: Sequence[str]) -> tuple[Columns, dict[str, str]]:
    """These columns of one symbol's rows, of a file that is sorted by Symbol, and what its metadata says.

    Only row groups are read whose statistics allow for the symbol. Raises `NotPublishedError`.
    """
    with _opened(path, ("Symbol", *columns)) as file:
        parts = [*_parts(file, symbol, columns)] or [
            {name: empty(file.schema_arrow.field(name).type) for name in columns}
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in columns}, _said(file)


def _parts(file: pq.ParquetFile, symbol: str, columns: Sequence[str]) -> Iterator[Columns]:
    batches = file.iter_batches(
        BATCH_ROWS, row_groups=_groups(file, symbol), columns=["Symbol", *columns], use_threads=False
    )
    for batch in batches:
        first, after = (find(batch["Symbol"], symbol, key=str) for find in (bisect_left, bisect_right))
        if first < after:
            # Copied, so that the batch goes: it is mostly other symbols'.
            yield {name: to_numpy(batch[name].slice(first, after - first)).copy() for name in columns}
        if after < len(batch):
            return


def _groups(file: pq.ParquetFile, symbol: str) -> list[int]:
    """The row groups that can hold a symbol."""
    place = file.schema_arrow.names.index("Symbol")
    found = []
    for group in range(file.num_row_groups):
        statistics = file.metadata.row_group(group).column(place).statistics
        if not (statistics and statistics.has_min_max) or statistics.min <= symbol <= statistics.max:
            found.append(group)
    return found


@contextmanager
def _opened(path: Path, columns: Sequence[str], remedy: str = RUN) -> Iterator[pq.ParquetFile]:
    """One descriptor for all that is read, so that a file which is replaced meanwhile is read as it was."""
    try:
        with pq.ParquetFile(path, buffer_size=BUFFER_BYTES) as file:
            if missing := [name for name in columns if name not in file.schema_arrow.names]:
                raise NotPublishedError(f"{_shown(path)} has no column {', '.join(missing)}; {remedy}")
            yield file
    except FileNotFoundError as error:
        raise NotPublishedError(f"{_shown(path)} is not there yet; {remedy}") from error
    except (OSError, pa.ArrowException) as error:
        logger.error("%s cannot be read: %s", path, error)
        raise NotPublishedError(f"{_shown(path)} cannot be read, the log has the cause; {remedy}") from error
    finally:
        pa.default_memory_pool().release_unused()


def _said(file: pq.ParquetFile) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}


def _shown(path: Path) -> str:
    """A client learns the table, not where on the machine it lies."""
    return f"the published table {path.parts[-3] if path.parts[-2].startswith('letter=') else path.parts[-2]}"
