"""The rows of the two-input model, and the windows of them that a candidate is fitted on."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from stock_assets.errors import UserError
from stock_assets.layout import LETTERS
from stock_assets.learning.drift import bins
from stock_assets.learning.evaluation import Group, liquidity, years
from stock_assets.learning.metrics import Array
from stock_assets.learning.split import Days, Mask, Split
from stock_assets.learning.volume import INPUTS
from stock_assets.statements import columns

EVER = "0001-01-01"
MAX_ROWS = 1_000_000
"""Rows of a window that are used, evenly spaced: two inputs gain nothing from more, and 20 M take long."""
MIN_ROWS = 500
"""Rows a window must have: fewer give neither a model nor a measurement of one."""
KINDS = ("stock", "ETF")


class VolumeRows(NamedTuple):
    """Feature rows, n of them: dates, volume in shares, inputs (n, 2) in the order of `INPUTS`, letter, ETF or not.

    `letter` is the place of the symbol's letter in `LETTERS`.
    """

    days: Days
    volume: Array
    inputs: Array
    letter: NDArray[np.uint8]
    is_etf: NDArray[np.bool_]

    def at(self, rows: NDArray[Any] | slice) -> "VolumeRows":
        return VolumeRows._make(values[rows] for values in self)

    def thinned(self, limit: int) -> "VolumeRows":
        """At most `limit` rows, evenly spaced."""
        return self.at(slice(None, None, max(1, -(-len(self.days) // limit))))

    def traded(self, window: str) -> "VolumeRows":
        """The rows whose moving average is above 0: only they have logarithms. Raises `UserError` for too few."""
        return require(self.at(self.inputs[:, 0] > 0), window)

    def groups(self) -> dict[str, Group]:
        """The partitions that errors are reported by."""
        return {
            "liquidity": liquidity(self.inputs[:, 0]),
            "kind": Group(self.is_etf.astype(np.intp), KINDS),
            "year": years(self.days),
            "letter": Group(self.letter.astype(np.intp), LETTERS),
        }


class Place(NamedTuple):
    """Where rows of a window are read: of a feature file, those from `first` to `last` day that have a full window.

    Of these every `step`th from the `offset`th on; `rows` says how many that are, which a copy elsewhere must have too.
    """

    path: Path
    first: str
    last: str
    offset: int
    step: int
    rows: int

    def rows_of(self, connection: DuckDBPyConnection, path: Path) -> VolumeRows:
        """The rows, from `path` in place of the own one; what only errors are reported by is not told.

        Raises `UserError` where it has another number of them.
        """
        table = columns(connection, "models/volume_rows", files=[str(path)], since=self.first)
        days = table["Date"].astype("datetime64[D]")
        chosen = np.flatnonzero(days <= np.datetime64(self.last))[self.offset :: self.step]
        if len(chosen) != self.rows:
            raise UserError(f"{path} has {len(chosen)} of the rows to train on, and {self.path} has {self.rows}")
        unknown = np.zeros(len(chosen), dtype=np.uint8)
        inputs = np.column_stack([table[name][chosen] for name in INPUTS])
        volume = table["Volume"][chosen].astype(np.float64)
        return VolumeRows(days[chosen], volume, inputs, unknown, unknown.astype(bool))


class Windows(NamedTuple):
    """What a candidate may see: rows to fit, and rows to stop or to weigh by; none of the test window.

    The places are those of the same rows, where they are known.
    """

    training: VolumeRows
    validation: VolumeRows
    training_places: Sequence[Place] = ()
    validation_places: Sequence[Place] = ()


def joined(first: VolumeRows, second: VolumeRows) -> VolumeRows:
    """The rows of both, one after the other."""
    pairs: Iterable[tuple[Any, Any]] = zip(first, second, strict=True)
    return VolumeRows._make(np.concatenate(pair) for pair in pairs)


def fitting_windows(rows: VolumeRows, split: Split, files: Mapping[str, Path] | None = None) -> Windows:
    """At most `MAX_ROWS` rows of each window; `files` are those by letter that all rows were read from, if known.

    Raises `UserError` where a window has fewer than `MIN_ROWS`.
    """
    training, validation = split.train(rows.days), split.validation(rows.days)
    return Windows(
        _thinned(rows, training, "training"),
        _thinned(rows, validation, "validation"),
        _places(rows, training, files or {}, (EVER, str(split.train_to))),
        _places(rows, validation, files or {}, (str(split.validation_from), str(split.validation_to))),
    )


def measured_window(rows: VolumeRows, split: Split) -> VolumeRows:
    """All rows of the test window. Raises `UserError` where it has fewer than `MIN_ROWS`."""
    return require(rows.at(split.test(rows.days)), "test")


def require(rows: VolumeRows, window: str) -> VolumeRows:
    if len(rows.days) < MIN_ROWS:
        raise UserError(
            f"the {window} window has {len(rows.days)} usable rows, fewer than {MIN_ROWS}: "
            "add prices, or materialize more letters of features"
        )
    return rows


def _thinned(rows: VolumeRows, mask: Mask, window: str) -> VolumeRows:
    """By places: a copy of 20 M rows of which a million is wanted takes a gigabyte."""
    places = np.flatnonzero(mask)
    return require(rows.at(places[:: _step(len(places))]), window)


def _step(rows: int) -> int:
    return max(1, -(-rows // MAX_ROWS))


def _places(rows: VolumeRows, mask: Mask, files: Mapping[str, Path], days: tuple[str, str]) -> list[Place]:
    """Where `_thinned` rows are: those of a file go on counting where the file before left off."""
    step, before, places = _step(int(mask.sum())), 0, []
    within = np.bincount(rows.letter[mask], minlength=len(LETTERS))
    for letter, path in files.items():
        count, offset = int(within[LETTERS.index(letter)]), -before % step
        before += count
        if count > offset:
            places.append(Place(path, *days, offset, step, -(-(count - offset) // step)))
    return places


def input_ranges(rows: VolumeRows, split: Split) -> dict[str, dict[str, float]]:
    """The range of each input over the training rows: minimum, 1 %, median, 99 %, maximum."""
    quantiles = np.quantile(rows.inputs[split.train(rows.days)], [0, 0.01, 0.5, 0.99, 1], axis=0)
    names = ("min", "p01", "median", "p99", "max")
    return {
        column: dict(zip(names, map(float, quantiles[:, place]), strict=True)) for place, column in enumerate(INPUTS)
    }


def input_bins(training: VolumeRows) -> dict[str, dict[str, list[float]]]:
    """Bins of each input with the share of the rows in them."""
    return {column: bins(training.inputs[:, place]) for place, column in enumerate(INPUTS)}
