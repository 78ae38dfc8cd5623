"""The oddities of the real files that every demo market carries, and the files that carry them."""

from collections.abc import Callable
from datetime import date, timedelta
from itertools import islice

import numpy as np

from stock_assets.layout import PRICE_COLUMNS

Lines = list[str]
"""A price file without line ends: the header, then one line for each row."""

ODD_SYMBOLS = ("TRUE", "NAN", "NA", "ON", "T", "F", "LGF.B", "B", "AGM-A", "CARR#", "3DX", "brk")
"""Symbols that a careless reader mistakes for something else."""

EMPTY_FILE = "etfs/EMPTY.csv"
HEADER_ONLY_FILE = "stocks/HEAD.csv"
ONE_ROW_FILE = "stocks/UNO.csv"
SHORT_FILE = "stocks/SHORT.csv"
BLANK_ROWS_FILE = "stocks/GAPS.csv"
BLANK_THEN_FULL_FILE = "stocks/REDO.csv"
DUPLICATE_DATE_FILE = "stocks/DUPE.csv"
WEEKEND_FILE = "etfs/WKND.csv"
HIGH_BELOW_LOW_FILE = "stocks/INVT.csv"
ZERO_OPENS_FILE = "stocks/ZERO.csv"
NEGATIVE_ADJ_CLOSE_FILE = "stocks/MINUS.csv"
HUGE_ADJ_CLOSE_FILE = "stocks/XXL.csv"
HUGE_VOLUME_FILE = "stocks/VAST.csv"

BEYOND_UINT32 = 7_421_640_800
"""The largest volume of `HUGE_VOLUME_FILE`, in shares."""

_BLANK = "," * (len(PRICE_COLUMNS) - 1)
_ODD_ROW = 50
"""Where a single odd row goes: after a full window of 30."""


def _gaps(lines: Lines) -> Lines:
    """Some rows are blank but for the date; the volumes of such a file are written as floats."""
    return [line[:10] + _BLANK if row in {1, 40, 41, 90} else line for row, line in enumerate(_float_volumes(lines))]


def _blank_then_full(lines: Lines) -> Lines:
    lines = _float_volumes(lines)
    return [*lines[:_ODD_ROW], lines[_ODD_ROW][:10] + _BLANK, *lines[_ODD_ROW:]]


def _float_volumes(lines: Lines) -> Lines:
    return [lines[0], *(line + ".0" for line in lines[1:])]


def _duplicate_date(lines: Lines) -> Lines:
    """Two full rows of one date, the first with the prices of the first day and another volume."""
    volume = int(lines[_ODD_ROW].split(",")[-1])
    other = _with_cells([lines[1]], "Volume", {0: str(2 * volume + 100)})[0]
    return [*lines[:_ODD_ROW], lines[_ODD_ROW][:10] + other[10:], *lines[_ODD_ROW:]]


def _weekend(lines: Lines) -> Lines:
    """Two Saturdays, each with the values of the Friday before it."""
    fridays = (row for row, line in enumerate(lines) if row >= _ODD_ROW and _day(line).weekday() == 4)
    for row in sorted(islice(fridays, 2), reverse=True):
        saturday = _day(lines[row]) + timedelta(days=1)
        lines.insert(row + 1, saturday.isoformat() + lines[row][10:])
    return lines


def _day(line: str) -> date:
    return date.fromisoformat(line[:10])


def _high_below_low(lines: Lines) -> Lines:
    cells = lines[_ODD_ROW].split(",")
    low = np.float32(0.75 * float(cells[PRICE_COLUMNS.index("Low")]))
    return _with_cells(lines, "High", {_ODD_ROW: str(float(low))})


def _zero_opens(lines: Lines) -> Lines:
    lines = _with_cells(lines, "Open", dict.fromkeys(range(1, 60), "0.0"))
    return _with_cells(lines, "Volume", dict.fromkeys(range(1, 60, 3), "0"))


def _negative_adj_close(lines: Lines) -> Lines:
    """What restating for later dividends does to old closes: below zero, then zero, then above."""
    rows = len(lines) // 3
    restated = np.linspace(-20, 0, rows, dtype=np.float32)
    return _with_cells(lines, "Adj Close", {row: str(float(price)) for row, price in enumerate(restated, 1)})


def _huge_adj_close(lines: Lines) -> Lines:
    """What restating for later reverse splits does to old closes."""
    rows = len(lines) // 3
    restated = np.geomspace(1e8, 1e2, rows, dtype=np.float32)
    return _with_cells(lines, "Adj Close", {row: str(float(price)) for row, price in enumerate(restated, 1)})


def _huge_volume(lines: Lines) -> Lines:
    """In the oldest rows, so that the errors of a test window do not hang on them."""
    return _with_cells(lines, "Volume", {9: "2147483700", 10: str(BEYOND_UINT32), 11: "3912500100"})


def _with_cells(lines: Lines, column: str, values: dict[int, str]) -> Lines:
    """The lines with one column's cell replaced in the rows given; row 0 is the header."""
    place = PRICE_COLUMNS.index(column)
    changed = list(lines)
    for row, value in values.items():
        cells = changed[row].split(",")
        cells[place] = value
        changed[row] = ",".join(cells)
    return changed


ODDITIES: dict[str, Callable[[Lines], Lines]] = {
    EMPTY_FILE: lambda _: [],
    HEADER_ONLY_FILE: lambda lines: lines[:1],
    ONE_ROW_FILE: lambda lines: lines[:1] + lines[-1:],
    SHORT_FILE: lambda lines: lines[:1] + lines[-17:],
    BLANK_ROWS_FILE: _gaps,
    BLANK_THEN_FULL_FILE: _blank_then_full,
    DUPLICATE_DATE_FILE: _duplicate_date,
    WEEKEND_FILE: _weekend,
    HIGH_BELOW_LOW_FILE: _high_below_low,
    ZERO_OPENS_FILE: _zero_opens,
    NEGATIVE_ADJ_CLOSE_FILE: _negative_adj_close,
    HUGE_ADJ_CLOSE_FILE: _huge_adj_close,
    HUGE_VOLUME_FILE: _huge_volume,
}
"""What is done to the lines of a file once they are generated; each needs at least 100 rows."""
