"""Columns between Arrow and numpy by way of their buffers.

pyarrow's own `to_numpy` and `array` import pandas wherever that is installed, which is 50 MB in each worker.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

NUMBERS = {pa.int64(): np.int64, pa.float64(): np.float64, pa.date32(): np.int32}
"""How the types that are no strings or truths lie in memory; a date is its days since 1970."""


def to_numpy(column: pa.Array) -> NDArray[Any]:
    """Numbers as such, dates as `datetime64[D]`, all else as objects; nulls become NaN, NaT or None."""
    if column.type not in NUMBERS:
        return np.array(column.to_pylist(), dtype=object)
    valid, data = column.buffers()
    shown = slice(column.offset, column.offset + len(column))
    values = np.frombuffer(data or b"", NUMBERS[column.type])[shown]
    if pa.types.is_date(column.type):
        values = values.astype("datetime64[D]")
    if column.null_count == 0:
        return values
    known = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")[shown] == 1
    return np.where(known, values, np.datetime64("NaT") if values.dtype.kind == "M" else np.nan)


def empty(of_type: pa.DataType) -> NDArray[Any]:
    """What `to_numpy` makes of no rows of a type."""
    return np.empty(0, "datetime64[D]" if pa.types.is_date(of_type) else NUMBERS.get(of_type, object))


def to_arrow(values: Sequence[Any], of_type: pa.DataType) -> pa.Array:
    """Strings, whole numbers, floats or dates as Arrow has them; None is null, but for whole numbers and dates."""
    if of_type == pa.string():
        return _strings(values)
    numbers = np.array(values, "datetime64[D]" if pa.types.is_date(of_type) else np.dtype(NUMBERS[of_type]))
    known = None
    if of_type == pa.float64():
        known = _bits(~np.isnan(numbers))
    return pa.Array.from_buffers(of_type, len(numbers), [known, pa.py_buffer(numbers.astype(NUMBERS[of_type]))])


def _strings(values: Sequence[str | None]) -> pa.Array:
    texts = [(value or "").encode() for value in values]
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    known = _bits(np.array([value is not None for value in values], dtype=bool))
    return pa.Array.from_buffers(pa.string(), len(texts), [known, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))])


def _bits(known: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(known, bitorder="little"))
