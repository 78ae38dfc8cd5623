"""The two tables by hand in pandas, one letter after the other: `python -m benchmarks.pandas_script ROOT OUT`.

pandas writes Parquet only with pyarrow, which nothing else here needs: DuckDB writes the finished frames.
"""

import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from benchmarks.shared import Stopwatch, files_by_letter, parquet_path

COLUMNS = ["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"]
TYPES = dict.fromkeys(COLUMNS[1:], "float64")  # a file with a blank row writes its volumes as 123.0


def read_names(root: Path) -> "pd.Series[str]":
    """Names by symbol; the files are named by the column `NASDAQ Symbol`."""
    meta = pd.read_csv(root / "symbols_valid_meta.csv", dtype="str", keep_default_na=False, index_col="NASDAQ Symbol")
    return meta["Security Name"].str.strip()


def read_file(path: Path) -> pd.DataFrame:
    """The rows of one file without nulls, one a date, in the order of dates."""
    prices = pd.read_csv(path, dtype=TYPES, parse_dates=["Date"], date_format="%Y-%m-%d")
    return prices.dropna().astype({"Volume": "int64"}).drop_duplicates("Date", keep="last").sort_values("Date")


def read_letter(paths: list[Path], names: "pd.Series[str]") -> pd.DataFrame:
    """The rows of some files, one a symbol and date; symbols and names are categories, which cost two bytes a row."""
    frames = [read_file(path) for path in paths]
    place = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])
    symbol = pd.Series(pd.Categorical.from_codes(place, [path.stem for path in paths]))
    table = pd.concat(frames, ignore_index=True)
    table.insert(0, "Symbol", symbol)
    table.insert(1, "Security Name", symbol.map(names).astype("category"))
    return table


def with_windows(combined: pd.DataFrame) -> pd.DataFrame:
    windows = combined.groupby("Symbol", observed=True, sort=False)[["Volume", "Adj Close"]].rolling(30)
    return combined.assign(
        vol_moving_avg=windows["Volume"].mean().to_numpy(),
        adj_close_rolling_med=windows["Adj Close"].median().to_numpy(),
    )


def write(frame: pd.DataFrame, path: Path) -> None:
    # As text: from categories DuckDB 2.0.0 writes a wrong symbol in about one of a hundred files.
    text = frame.astype({"Symbol": "str", "Security Name": "str"})
    dated = duckdb.from_df(text).project('* REPLACE ("Date"::DATE AS "Date")')
    dated.write_parquet(str(path), compression="zstd")


def main(root: Path, out: Path) -> None:
    watch, rows, names = Stopwatch(), 0, read_names(root)
    for letter, paths in files_by_letter(root).items():
        combined = read_letter(paths, names)
        watch.lap("read")
        features = with_windows(combined)
        watch.lap("windows")
        write(combined, parquet_path(out, "combined", letter))
        watch.lap("write combined")
        write(features, parquet_path(out, "features", letter))
        watch.lap("write features")
        rows += len(features)
    watch.print_line(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
