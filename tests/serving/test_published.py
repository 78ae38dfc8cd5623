import os
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.arrays import empty, to_arrow, to_numpy
from serving.published import Cached, Columns, NotPublishedError, read_all, read_symbol
from tests.serving.published_tables import publish, write

COLUMNS = ("Date", "Price", "Count", "Name")


def table_of(symbols: int, rows: int) -> pl.DataFrame:
    """Sorted by symbol; each symbol has other values."""
    many = symbols * rows
    return pl.DataFrame(
        {
            "Symbol": [f"S{row // rows:04d}" for row in range(many)],
            "Date": [date.fromordinal(730000 + row) for row in range(many)],
            "Price": [None if row % 7 == 3 else row / 8 for row in range(many)],
            "Count": range(many),
            "Name": [None if row % 5 == 0 else f"é{row}" for row in range(many)],
        }
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Row groups and symbols end at different rows, and a symbol is longer than a group or a batch."""
    path = tmp_path_factory.mktemp("lake") / "table" / "part-0.parquet"
    write(table_of(9, 5000), path, group=7000, model="v1")
    return path


def expected(frame: pl.DataFrame) -> dict[str, list[Any]]:
    return frame.select(COLUMNS).to_dict(as_series=False)


def shown(columns: Columns) -> dict[str, list[Any]]:
    """NaN and NaT as null."""
    return {
        name: [None if one is None or one != one else one for one in values.tolist()]  # noqa: PLR0124
        for name, values in columns.items()
    }


@pytest.mark.parametrize("place", range(9))
def test_a_symbol_has_the_rows_that_polars_finds(published: Path, place: int) -> None:
    columns, said = read_symbol(published, f"S{place:04d}", COLUMNS)
    rows = pl.read_parquet(published).filter(pl.col("Symbol") == f"S{place:04d}")
    assert shown(columns) == expected(rows)
    assert said["model"] == "v1"


@pytest.mark.parametrize("symbol", ["", "A", "S0003a", "S0009", "ZZZ", "é", "S0003\0"])
def test_a_symbol_that_is_not_there_has_no_rows(published: Path, symbol: str) -> None:
    columns, _ = read_symbol(published, symbol, COLUMNS)
    assert {name: len(values) for name, values in columns.items()} == dict.fromkeys(COLUMNS, 0)
    assert columns["Date"].dtype == "datetime64[D]"


def test_a_whole_file_is_what_polars_reads(published: Path) -> None:
    columns, said = read_all(published, COLUMNS)
    assert shown(columns) == expected(pl.read_parquet(published))
    assert said["model"] == "v1"


def test_a_file_without_rows_has_empty_columns(tmp_path: Path) -> None:
    write(table_of(1, 1).clear(), path := tmp_path / "table" / "part-0.parquet")
    assert shown(read_all(path, COLUMNS)[0]) == shown(read_symbol(path, "S0", COLUMNS)[0]) == {n: [] for n in COLUMNS}


def test_only_row_groups_are_read_that_can_hold_the_symbol(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[int]] = []
    original = pq.ParquetFile.iter_batches

    def noting(self: pq.ParquetFile, *args: Any, **options: Any) -> Any:
        read.append(options["row_groups"])
        return original(self, *args, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noting)
    for symbol in ("S0000", "S0004", "Z"):
        read_symbol(published, symbol, COLUMNS)
    assert read == [[0], [2, 3], []]  # rows 0 to 4,999 and 20,000 to 24,999, in groups of 7,000


def test_a_file_without_statistics_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "table" / "part-0.parquet"
    path.parent.mkdir()
    table_of(4, 10).write_parquet(path, statistics=False)
    assert read_symbol(path, "S0002", ["Count"])[0]["Count"].tolist() == list(range(20, 30))


def test_what_is_missing_or_damaged_is_said_without_a_path(
    published: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = tmp_path / "letters" / "letter=A" / "part-0.parquet"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(published.read_bytes()[:-3])
    problems = [
        (tmp_path / "table" / "part-0.parquet", COLUMNS, "the published table table is not there yet; run the "),
        (published, ("Low", "High"), "the published table table has no column Low, High; run the pipeline"),
        (damaged, COLUMNS, "the published table letters cannot be read, the log has the cause; run the pipeline"),
    ]
    for path, columns, message in problems:
        for found in (lambda: read_symbol(path, "S0001", columns), lambda: read_all(path, columns)):  # noqa: B023
            with pytest.raises(NotPublishedError) as caught:
                found()
            assert str(caught.value).startswith(message)
            assert str(tmp_path) not in str(caught.value)
    assert str(damaged) in caplog.text


def test_a_replaced_file_is_read_again_and_a_kept_one_is_not(tmp_path: Path) -> None:
    made: list[int] = []

    def make(columns: Columns, _: dict[str, str]) -> int:
        made.append(len(columns["Count"]))
        return made[-1]

    path = tmp_path / "table" / "part-0.parquet"
    cached = Cached(path, make, ["Count"])
    with pytest.raises(NotPublishedError):
        cached.get()
    for rows in (3, 4):
        write(table_of(1, rows), path)
        assert [cached.get() for _ in range(3)] == [rows] * 3
    assert made == [3, 4]


def test_several_threads_load_a_file_once(tmp_path: Path) -> None:
    write(table_of(1, 5), path := tmp_path / "table" / "part-0.parquet")
    made: list[int] = []
    at_once = threading.Barrier(4)
    cached = Cached(path, lambda columns, _: made.append(len(columns["Count"])), ["Count"])

    def ask() -> None:
        at_once.wait()
        cached.get()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [5]


def test_a_file_that_is_replaced_while_it_is_read_is_read_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(table_of(3, 9000), path := tmp_path / "table" / "part-0.parquet", group=9000)
    original = pq.ParquetFile.iter_batches

    def replaced_after_the_first(self: pq.ParquetFile, *args: Any, **options: Any) -> Any:
        batches = original(self, *args, **options)
        yield next(batches)
        write(table_of(3, 2), path)
        yield from batches

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", replaced_after_the_first)
    assert read_symbol(path, "S0001", ["Count"])[0]["Count"].tolist() == list(range(9000, 18000))
    assert read_symbol(path, "S0001", ["Count"])[0]["Count"].tolist() == [2, 3]


def test_arrays_make_the_way_to_arrow_and_back() -> None:
    columns: list[tuple[pa.DataType, list[Any]]] = [
        (pa.string(), ["a", None, "", "é,\n"]),
        (pa.int64(), [1, -(2**62), 3, 0]),
        (pa.float64(), [0.5, None, -1e300, 0.0]),
        (pa.date32(), [date(1960, 2, 29), date(2020, 1, 1), date(1970, 1, 1), date(2262, 4, 12)]),
    ]
    for of_type, values in columns:
        array = to_arrow(values, of_type)
        array.validate(full=True)
        assert array.to_pylist() == values
        assert shown({"x": to_numpy(array.slice(1, 2))})["x"] == values[1:3]
        assert to_numpy(array.slice(0, 0)).dtype == empty(of_type).dtype
    assert to_numpy(pa.array([True, None, False])).tolist() == [True, None, False]
    assert np.isnan(to_numpy(pa.array([None, 3], pa.int64()))).tolist() == [True, False]


ALL_ROUTES = """
import sys
from pathlib import Path
from serving.market import Market
from serving.routes import forecasts, symbols
from stock_assets.layout import Layout

market = Market(Layout(Path(sys.argv[1])))
symbols._search(market, "a", 5), symbols._history(market, "AAA", 250), forecasts._as_of(market, "aab", None)
forecasts._forecast(market, "AAA"), forecasts._explanation(market, "AAA", 5)
for kind in ("json", "csv", "parquet"):
    forecasts._forecasts(market, 50, "-change", kind)
heavy = {"pandas", "pyarrow.compute", "pyarrow.dataset", "pyarrow._acero"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""


def test_no_answer_from_published_files_imports_pandas_or_heavy_parts_of_arrow(tmp_path: Path) -> None:
    publish(tmp_path)
    command = [sys.executable, "-c", ALL_ROUTES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": "."})
    assert (done.returncode, done.stderr) == (0, "")
