"""A batch as Arrow or Parquet. What a file claims is held against the limits before anything of it is expanded."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from serving.answers import Answers
from serving.arrays import to_numpy
from serving.arrow_messages import check_file, check_stream
from serving.batches import RefusedError, check, check_rows
from serving.model import Array, LoadedModel
from serving.parquet_pages import row_groups, uncompressed_pages
from stock_assets.learning.volume import INPUTS

STREAM = "application/vnd.apache.arrow.stream"
FILE = "application/vnd.apache.arrow.file"
PARQUET = "application/vnd.apache.parquet"

MAX_PAGES = 10_000
BYTES_A_VALUE = 32
"""What a value may take in pages: the widest decimal, or 8 bytes with its dictionary entry, its index and its level."""
SPARE_BYTES = 1_000_000


def read_arrow_stream(body: bytes, max_rows: int) -> Array:
    """Inputs of shape (n, 2) within their limits, from an Arrow IPC stream. Raises `RefusedError`."""
    return _checked(lambda: _arrow_table(body, max_rows, check_stream, pa.ipc.open_stream))


def read_arrow_file(body: bytes, max_rows: int) -> Array:
    """The same from an Arrow IPC file (Feather version 2)."""
    return _checked(lambda: _arrow_table(body, max_rows, check_file, pa.ipc.open_file))


def read_parquet(body: bytes, max_rows: int) -> Array:
    """The same from a Parquet file."""
    return _checked(lambda: _parquet_table(body, max_rows))


def _checked(read: Callable[[], pa.Table]) -> Array:
    try:
        table = read()
        table.validate(full=True)  # an Arrow buffer may be shorter than the rows that it is said to hold
        # Whole numbers above 2^53 are rounded, as everywhere; a null becomes NaN, which the check refuses.
        columns = [to_floats(table[name].cast(pa.float64(), safe=False)) for name in INPUTS]
    except (pa.ArrowException, OSError, ValueError, struct.error) as error:
        raise RefusedError(422, f"the body cannot be read: {ascii(str(error))[1:-1][:300]}") from error
    inputs = np.column_stack(columns)
    check(inputs, lambda row, name: f"{name}, row {row}")
    return inputs


def to_floats(column: pa.ChunkedArray) -> Array:
    """A column of floats; a null becomes NaN."""
    return np.concatenate([np.empty(0), *map(to_numpy, column.chunks)])


def _arrow_table(body: bytes, max_rows: int, check_all: Callable[[bytes, int], None], reader: Any) -> pa.Table:
    check_all(body, max_rows)
    with reader(body) as opened:
        options = pa.ipc.IpcReadOptions(included_fields=_places(opened.schema), use_threads=False)
    with reader(body, options=options) as opened:
        return opened.read_all()


def _parquet_table(body: bytes, max_rows: int) -> pa.Table:
    groups = row_groups(body)
    check_rows(sum(group.rows for group in groups), max_rows)
    file = pq.ParquetFile(pa.BufferReader(body))
    _places(file.schema_arrow)
    leaves = [place for place, name in enumerate(file.schema.names) if name in INPUTS]
    chunks = [group.chunks[leaf] for group in groups for leaf in leaves if leaf < len(group.chunks)]
    _check_pages((page for chunk in chunks for page in uncompressed_pages(body, chunk)), max_rows)
    return file.read(columns=list(INPUTS), use_threads=False)


def _check_pages(pages: Iterator[int], max_rows: int) -> None:
    left = BYTES_A_VALUE * len(INPUTS) * max_rows + SPARE_BYTES
    for number, page in enumerate(pages):
        left -= page
        if left < 0 or number >= MAX_PAGES:
            raise RefusedError(413, f"its pages expand beyond what {max_rows} rows need, or are more than {MAX_PAGES}")


def _places(schema: pa.Schema) -> list[int]:
    """Where both columns are; others are never read. Raises `RefusedError`."""
    places = []
    for name in INPUTS:
        found = schema.get_all_field_indices(name)
        if len(found) != 1:
            raise RefusedError(422, f"{name}: {'there is no such column' if not found else 'several columns have it'}")
        kind = schema.field(found[0]).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            raise RefusedError(422, f"{name}: must be a column of numbers, not of {ascii(str(kind))[1:50]}")
        places.append(found[0])
    return places


def answer_table(model: LoadedModel, answers: Answers) -> pa.Table:
    """One row an answer: volume, low, high (null without an interval), and whether an input is outside of training."""
    count = len(answers.volumes)
    outside = np.zeros(count, dtype=bool)
    for rows in answers.outside.values():
        outside |= rows
    columns = {"volume": pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(answers.volumes)])}
    for name, ends in (("low", answers.low), ("high", answers.high)):
        known = None if ends is None else [None, pa.py_buffer(ends)]
        columns[name] = pa.Array.from_buffers(pa.int64(), count, known) if known else pa.nulls(count, pa.int64())
    bits = pa.py_buffer(np.packbits(outside, bitorder="little"))
    columns["outside_training"] = pa.Array.from_buffers(pa.bool_(), count, [None, bits])
    return pa.Table.from_pydict(columns, metadata={"model": model.name, "version": model.version})


def write_arrow_stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def write_arrow_file(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def write_parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())
