"""What the columns of a Parquet file would expand to, by its footer and the headers of its pages.

A page of a few kilobytes may expand to 2 GB, whatever the footer says of it, and pyarrow cannot be told a limit; but it
never expands a page beyond what its header says. The footer is read here too, because pyarrow's access to the metadata
of a column ends the whole process where that is damaged. Both are Thrift structs in the compact protocol
(parquet.thrift in Apache Parquet's format documentation).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from serving.batches import RefusedError

FOOTER_BYTES = 250_000
"""A footer takes up to 300 times its size in memory."""
MAGIC = b"PAR1"
MAX_PAGE_HEADER = 1_000_000
MAX_DEPTH = 16
# Numbers of fields in FileMetaData, RowGroup, ColumnChunk, ColumnMetaData and PageHeader.
ROW_GROUPS = 4
COLUMNS, GROUP_ROWS = 1, 3
META_DATA = 3
COMPRESSED_SIZE, DATA_OFFSET, DICTIONARY_OFFSET = 7, 9, 11
PAGE_UNCOMPRESSED, PAGE_COMPRESSED = 2, 3


class RowGroup(NamedTuple):
    """The rows of a group, and of each column where its pages start and end in the file."""

    rows: int
    chunks: list[tuple[int, int]]


def row_groups(file: bytes) -> list[RowGroup]:
    """The groups that the footer lists. Raises `RefusedError` for a large one and `ValueError` for no such footer."""
    size = int.from_bytes(file[-8:-4], "little")
    if len(file) < size + 12 or not file.endswith(MAGIC):
        raise ValueError("it does not end as a Parquet file does")
    if size > FOOTER_BYTES:
        raise RefusedError(413, f"a footer of more than {FOOTER_BYTES} bytes; write fewer columns or row groups")
    footer = _Compact(file, len(file) - 8 - size, len(file) - 8).struct()
    try:
        groups = [
            RowGroup(int(group[GROUP_ROWS]), [_chunk(column[META_DATA]) for column in group[COLUMNS]])
            for group in footer[ROW_GROUPS]
        ]
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError("its footer is not whole") from error
    if any(group.rows < 0 for group in groups):
        raise ValueError("a row group of fewer than no rows")
    return groups


def _chunk(column: dict[int, Any]) -> tuple[int, int]:
    start, dictionary = int(column[DATA_OFFSET]), int(column.get(DICTIONARY_OFFSET, 0))
    if 0 < dictionary < start:
        start = dictionary
    return start, start + int(column[COMPRESSED_SIZE])


def uncompressed_pages(file: bytes, chunk: tuple[int, int]) -> Iterator[int]:
    """What each page of a chunk expands to, in bytes. Raises `ValueError` for pages that cannot be read."""
    place, end = chunk
    if not 0 <= place <= end <= len(file):
        raise ValueError("a column that is not in the file")
    while place < end:
        reader = _Compact(file, place, min(place + MAX_PAGE_HEADER, end))
        header = reader.struct()
        sizes = header.get(PAGE_UNCOMPRESSED), header.get(PAGE_COMPRESSED)
        if not all(type(size) is int and size >= 0 for size in sizes):
            raise ValueError("a page without a size")
        place = reader.place + header[PAGE_COMPRESSED]
        yield header[PAGE_UNCOMPRESSED]


class _Compact:
    """Thrift's compact protocol, from a place up to an end; a struct becomes its values by the numbers of its fields.

    Every method raises `ValueError` at the end. Each value takes a byte at least, so their number is bounded.
    """

    def __init__(self, data: bytes, place: int, end: int) -> None:
        self._data = data
        self._end = end
        self.place = place

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > MAX_DEPTH:
            raise ValueError("a header that is nested too deeply")
        found, number = {}, 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            kind = head & 15
            found[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        match kind:
            case 1 | 2 | 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._zigzag()
            case 7:
                return self._bytes(8)
            case 8:
                return self._bytes(self._varint())
            case 9 | 10:
                return self._list(depth)
            case 12:
                return self.struct(depth + 1)
        raise ValueError(f"a header with a value of type {kind}")

    def _list(self, depth: int) -> list[Any]:
        if depth > MAX_DEPTH:
            raise ValueError("a header that is nested too deeply")
        head = self._byte()
        size = self._varint() if head >> 4 == 15 else head >> 4
        return [self._value(head & 15, depth + 1) for _ in range(size)]

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _bytes(self, size: int) -> bytes:
        start = self.place
        self.place += size
        if self.place > self._end:
            raise ValueError("a header that does not end")
        return self._data[start : self.place]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a header with a number of more than 64 bits")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
