"""Writes the demo market, a generated tree in the Kaggle layout: its symbols, names and files.

How prices and volumes move is in `demo_prices`, what is wrong with some files in `demo_oddities`.
"""

import csv
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import islice
from pathlib import Path, PurePosixPath

import duckdb
from numpy.random import Generator, SeedSequence, default_rng

from stock_assets.ingest.demo_oddities import ODD_SYMBOLS, ODDITIES
from stock_assets.ingest.demo_prices import Columns, draw_history, draw_market
from stock_assets.ingest.snapshot import FOLDERS, META_FILE
from stock_assets.statements import run

META_COLUMNS = (
    "Nasdaq Traded",
    "Symbol",
    "Security Name",
    "Listing Exchange",
    "Market Category",
    "ETF",
    "Round Lot Size",
    "Test Issue",
    "Financial Status",
    "CQS Symbol",
    "NASDAQ Symbol",
    "NextShares",
)
SYMBOLS_WITHOUT_NAME = ("brk", "KILO")
NAMES_WITHOUT_FILE = ("GONE", "NEVR", "YORE")
LATEST_START = date(2018, 12, 31)

_FIRST_FILES = (
    *ODDITIES,
    *(f"stocks/{symbol}.csv" for symbol in ODD_SYMBOLS),
    *(f"etfs/{symbol}.csv" for symbol in ("JUNO", "KILO", "PIKE", "QUAD", "YARN")),
)
"""The files of the smallest market: the odd ones, and some for the letters that those leave out."""

_FIRST_FILES_ROWS = 2500
_RESERVED = ("PRN", "CON", "AUX", "NUL", *NAMES_WITHOUT_FILE)
"""Symbols not to draw: Windows has no such files, and some names must stay without one."""

_INITIALS = "AAAABBBCCCCDDEEEFFFGGHHIIIJJKLLMMMNNOPPPQRRSSSSTTTUVWWXYZ"
_SHARE_OF_ETFS = 0.3

_LISTED_AS = {"AGM-A": ("AGM$A", "AGMpA"), "CARR#": ("CARR.V", "CARRw")}
"""Symbol and CQS symbol where they differ from the NASDAQ symbol, which names the file."""

_FIRST_WORDS = ("Alder", "Beacon", "Cobalt", "Delta", "Ember", "Falcon", "Granite", "Harbor", "Juniper")
_SECOND_WORDS = ("Bay", "Bridge", "Creek", "Field", "Forge", "Gate", "Lake", "Peak", "Ridge", "River")
_NAME_ENDINGS = {
    "stocks": (
        ", Inc. - Common Stock",
        " Corporation Common Stock ",
        " plc - American Depositary Shares, each representing two ordinary shares",
        " Holdings Ltd. Ordinary Shares",
    ),
    "etfs": (" Dividend ETF", " Bond Fund ", " Small Cap, Value Weighted ETF"),
}


def _no_progress(done: int, total: int) -> None:
    pass


def write_market(  # noqa: PLR0913, PLR0917
    root: Path,
    files: int,
    start: date,
    seed: int,
    threads: int,
    progress: Callable[[int, int], None] = _no_progress,
) -> None:
    """Write `files` price files and the meta file below `root`, an existing empty folder.

    No symbol is listed before `start`. The same `files`, `start` and `seed` give the same bytes, whatever
    `threads` is. `progress` is given the files done and their total, on the calling thread.

    Raises `ValueError` where `files` or the days after `start` are too few to hold every oddity.
    """
    if files < len(_FIRST_FILES):
        raise ValueError(f"a demo market has at least {len(_FIRST_FILES)} files, not {files}")
    if start > LATEST_START:
        raise ValueError(f"a demo market starts on {LATEST_START} at the latest, not on {start}")
    paths = list(islice(_file_paths(_generator(seed, 0)), files))
    market = draw_market(start, _generator(seed, 1))
    for folder in FOLDERS:
        (root / folder).mkdir()
    _write_meta(root / META_FILE, paths)
    with duckdb.connect(config={"threads": 1}) as connection, ThreadPoolExecutor(threads) as pool:

        def write(index: int) -> None:
            least_rows = _FIRST_FILES_ROWS if index < len(_FIRST_FILES) else 1
            history = draw_history(market, least_rows, _generator(seed, 2, index))
            _write_prices(root, paths[index], history, connection)

        for done, _ in enumerate(pool.map(write, range(files)), 1):
            if done % 100 == 0 or done == files:
                progress(done, files)


def _generator(seed: int, *stream: int) -> Generator:
    """An own stream of random numbers for each purpose, so that none depends on the order of work."""
    return default_rng(SeedSequence(seed, spawn_key=stream))


def _write_prices(root: Path, path: str, history: Columns, connection: duckdb.DuckDBPyConnection) -> None:
    with connection.cursor() as cursor:
        cursor.register("history", history)
        run(cursor, "write_demo_prices", path=str(root / path))
    if path in ODDITIES:
        lines = (root / path).read_text("utf-8").splitlines()
        text = "".join(line + "\n" for line in ODDITIES[path](lines))
        (root / path).write_text(text, "utf-8", newline="\n")


def _file_paths(rng: Generator) -> Iterator[str]:
    """Paths such as `stocks/AA.csv`, without end; no two symbols are equal where letter case is ignored."""
    yield from _FIRST_FILES
    taken = {_symbol(path).upper() for path in _FIRST_FILES}.union(_RESERVED)
    while True:
        initial = _INITIALS[rng.integers(len(_INITIALS))]
        length = rng.choice(5, p=[0.004, 0.03, 0.36, 0.55, 0.056])
        symbol = initial + "".join(chr(ord("A") + letter) for letter in rng.integers(26, size=length))
        folder = "etfs" if rng.random() < _SHARE_OF_ETFS else "stocks"
        if symbol not in taken:
            taken.add(symbol)
            yield f"{folder}/{symbol}.csv"


def _symbol(path: str) -> str:
    return PurePosixPath(path).name.removesuffix(".csv")


def _write_meta(path: Path, paths: list[str]) -> None:
    folders = {_symbol(path): PurePosixPath(path).parent.name for path in paths}
    folders |= dict.fromkeys(NAMES_WITHOUT_FILE, "stocks")
    named = sorted(folders.keys() - set(SYMBOLS_WITHOUT_NAME))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(META_COLUMNS)
        writer.writerows(_meta_row(symbol, folders[symbol], number) for number, symbol in enumerate(named))


def _meta_row(symbol: str, folder: str, number: int) -> tuple[str, ...]:
    """The row of a symbol on the New York exchanges; names repeat only in a large market."""
    listed_as, cqs = _LISTED_AS.get(symbol, (symbol, symbol))
    words = f"{_FIRST_WORDS[number % len(_FIRST_WORDS)]} {_SECOND_WORDS[number % len(_SECOND_WORDS)]}"
    endings = _NAME_ENDINGS[folder]
    name = words + endings[number % len(endings)]
    exchange, etf = ("P", "Y") if folder == "etfs" else ("N", "N")
    return ("Y", listed_as, name, exchange, " ", etf, "100", "N", "", cqs, symbol, "N")
