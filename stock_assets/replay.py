"""`stock-assets replay`: logged predictions asked anew of a version on disk, and how far apart the answers are."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from stock_assets.budget import thread_count
from stock_assets.errors import UserError, first_line
from stock_assets.layout import Layout
from stock_assets.learning.volume import INPUTS
from stock_assets.number_format import percent, plain, signed_percent
from stock_assets.promoted import Promoted
from stock_assets.publishing import Report
from stock_assets.registry import MODEL_FILE, RegistryError, has_version, sound_manifest
from stock_assets.settings import Settings
from stock_assets.volume_predictions import predictor

Array = NDArray[np.float64]
Volumes = NDArray[np.int64]

LOGGED = "the logged answers"
COLUMNS = ["time", "version", *INPUTS, "volume"]
LARGEST = 10


class Log(NamedTuple):
    """n logged predictions: times in UTC, inputs (n, 2), volumes in shares; `versions` has places in `names`."""

    names: list[str]
    versions: NDArray[np.int32]
    times: NDArray[np.datetime64]
    inputs: Array
    volumes: Volumes

    def of_version(self, place: int) -> "Log":
        chosen = self.versions == place
        return Log(self.names, *(column[chosen] for column in self[1:]))


class Spread(NamedTuple):
    """Of a difference over all rows."""

    mean: float
    median: float
    p95: float


class Replayed(NamedTuple):
    """The answers of `version` held against those of `against`.

    `changed` counts the rows whose answers differ; `total` is the sum of the one's volumes over that of the other, less
    one (None where nothing was predicted). `difference` is absolute, in shares; `factor` the larger answer over the
    smaller one, each with one share more. `largest` has the rows with the largest differences, the same inputs once.
    """

    version: str
    against: str
    rows: int
    changed: int
    total: float | None
    difference: Spread
    factor: Spread
    largest: list[dict[str, Any]]


def log_files(settings: Settings, given: Sequence[Path]) -> list[Path]:
    """The files given, folders by what is in them, or those of the data folder; oldest first. Raises `UserError`."""
    folder = Layout(settings.data_dir).predictions_log
    found = [file for path in given or [folder] for file in ([path] if path.is_file() else path.glob("*.parquet"))]
    if not found:
        places = ", ".join(map(str, given or [folder]))
        raise UserError(f"{places}: no log of predictions; STOCK_ASSETS_PREDICTION_LOG=true makes the service keep one")
    return sorted(found, key=lambda path: path.name)


def read_log(files: Sequence[Path], most: int) -> Log:
    """The newest `most` rows or somewhat more: whole files, of which the last are the newest. Raises `UserError`."""
    tables: list[pa.Table] = []
    for path in reversed(files):
        if sum(table.num_rows for table in tables) >= most:
            break
        try:
            tables.append(pq.ParquetFile(path).read(columns=COLUMNS).select(COLUMNS))
        except (OSError, pa.ArrowException, KeyError) as error:
            raise UserError(f"{path} is not a log of predictions: {first_line(error)}") from error
    whole = pa.concat_tables(reversed(tables))
    if not len(whole):
        raise UserError(f"{files[-1]}: the log has no predictions")
    versions = whole["version"].combine_chunks().dictionary_encode()
    return Log(
        versions.dictionary.to_pylist(),
        versions.indices.to_numpy(),
        whole["time"].to_numpy(),
        np.column_stack([whole[name].to_numpy() for name in INPUTS]),
        whole["volume"].to_numpy(),
    )


def verify(settings: Settings, log: Log, report: Report) -> Iterator[Replayed]:
    """Each version in the log, asked again for what it answered; `report` is told of those that are gone from disk.

    Raises `UserError` for one that was changed.
    """
    for place, version in enumerate(log.names):
        own = log.of_version(place)
        if has_version(_folder(settings), version):
            yield compare((version, answers(settings, version, own.inputs)), (LOGGED, own.volumes), own)
        else:
            report(f"version {version} is not on disk: its {len(own.volumes):,} logged answers are not checked")


def replay(settings: Settings, log: Log, version: str, against: str | None) -> Replayed:
    """All of the log asked of one version, against another one or what was answered. Raises `UserError`."""
    ours = version, answers(settings, version, log.inputs)
    return compare(ours, (against, answers(settings, against, log.inputs)) if against else (LOGGED, log.volumes), log)


def answers(settings: Settings, version: str, inputs: Array) -> Volumes:
    """What a version of the volume model on disk answers, by LightGBM and not by the service's code."""
    folder = _folder(settings)
    try:
        model = Promoted(version, sound_manifest(folder, version), (folder / version / MODEL_FILE).read_bytes())
    except (RegistryError, OSError) as error:
        raise UserError(
            f"version {version}: {error}; stock-assets models list volume_model shows the versions"
        ) from error
    predict = predictor(model, thread_count(settings))
    return np.rint(predict(*(np.ascontiguousarray(column) for column in inputs.T))).astype(np.int64)


def _folder(settings: Settings) -> Path:
    return Layout(settings.data_dir).models / "volume_model"


def compare(ours: tuple[str, Volumes], theirs: tuple[str, Volumes], log: Log) -> Replayed:
    """The answers of two to the same rows, each with the name of who gave them."""
    (version, new), (against, old) = ours, theirs
    difference = np.abs(new - old)
    factor = (np.maximum(new, old) + 1.0) / (np.minimum(new, old) + 1.0)
    before = float(old.sum(dtype=np.float64))
    return Replayed(
        version,
        against,
        len(new),
        int(np.count_nonzero(difference)),
        float(new.sum(dtype=np.float64)) / before - 1 if before else None,
        _spread(difference),
        _spread(factor),
        [
            {
                "time": f"{log.times[row].astype('datetime64[s]')}Z",
                **dict(zip(INPUTS, log.inputs[row].tolist(), strict=True)),
            }
            | {"against": int(old[row]), "version": int(new[row]), "factor": float(factor[row])}
            for row in _largest(difference, log.inputs)
        ],
    )


def _spread(values: NDArray[Any]) -> Spread:
    return Spread(float(values.mean()), *map(float, np.quantile(values, [0.5, 0.95])))


def _largest(difference: Volumes, inputs: Array) -> Iterator[int]:
    """Places of the largest differences. A question that was asked a thousand times is one place."""
    left = difference.copy()
    for _ in range(LARGEST):
        row = int(left.argmax())
        if not left[row]:
            return
        yield row
        left[(inputs == inputs[row]).all(axis=1)] = 0


def facts(found: Replayed) -> dict[str, Any]:
    """The same, for JSON."""
    return found._asdict() | {"difference": found.difference._asdict(), "factor": found.factor._asdict()}


def told(found: Replayed) -> Iterator[Text | Table]:
    """What was found in at most 100 columns, and the largest differences where there are any."""
    title = f"{found.version} against {found.against}: {found.rows:,} rows"
    changed = f"{found.changed:,} answers ({percent(found.changed / found.rows)}) differ"
    total = "" if found.total is None else f", the sum of all by {signed_percent(found.total)}"
    yield Text(f"{title}\n{changed}{total}", no_wrap=True, overflow="ignore")
    table = _table("", "mean", "median", "95 % are below")
    table.add_row("absolute difference, shares", *map(plain, found.difference))
    table.add_row("larger over smaller answer", *(f"{value:.3f}" for value in found.factor))
    yield table
    if found.largest:
        yield Text("the largest differences:")
        table = _table("time", *INPUTS, "against", "version", "factor")
        for row in found.largest:
            time, *inputs, against, version, factor = row.values()
            table.add_row(time, *map(plain, inputs), f"{against:,}", f"{version:,}", f"{factor:.3f}")
        yield table


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right")
    return table
