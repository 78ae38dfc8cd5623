"""The headers of the messages in Arrow streams and files, read before Arrow itself acts on them.

A record batch whose buffers are compressed is expanded when it is read, to whatever size they claim, and pyarrow cannot
be told a limit. Headers are FlatBuffers (Message.fbs and File.fbs in Apache Arrow's format documentation).
"""

import struct
from collections.abc import Iterable, Iterator

import pyarrow as pa

from serving.batches import RefusedError, check_rows

MAX_BATCHES = 10_000
SCHEMA_BYTES = 1_000_000
HEADER, LENGTH, COMPRESSION = 2, 0, 3
"""Places of fields in the tables `Message` (`HEADER`) and `RecordBatch`."""
DICTIONARIES, RECORD_BATCHES = 2, 3
"""Places of fields in the table `Footer`: each a vector of blocks."""
BLOCK = struct.Struct("<qi4xq")
"""Where a message is: offset, length of its header, length of its body."""
END = struct.Struct("<I6s")
"""The end of a file: length of the footer, magic."""
OLD_COMPRESSION = b"ARROW:experimental_compression"
"""How Arrow 0.17 said it, which is still understood."""
CONTINUED = b"\xff\xff\xff\xff"
PLAIN = "send columns of plain numbers, not dictionary-encoded"


def check_stream(stream: bytes, max_rows: int) -> None:
    """Raise `RefusedError` for compressed buffers, dictionaries and more rows than `max_rows`.

    Raises `ValueError`, `struct.error` and Arrow's own errors for what is no stream.
    """
    _check_rows(_stream_headers(stream), max_rows)


def check_file(file: bytes, max_rows: int) -> None:
    """The same for a file, whose footer says where its record batches are."""
    length, _ = END.unpack(file[-END.size :])
    data = file[: -END.size][-length:]
    if not 0 < length <= SCHEMA_BYTES:
        raise RefusedError(413, f"a footer of {length} bytes; write fewer columns or batches")
    footer = _follow(data, 0)
    if _vector(data, footer, DICTIONARIES)[1]:
        raise RefusedError(422, f"a dictionary; {PLAIN}")
    _check_rows(_file_headers(file, data, *_vector(data, footer, RECORD_BATCHES)), max_rows)


def _check_rows(headers: Iterable[bytes], max_rows: int) -> None:
    rows = 0
    for number, header in enumerate(headers):
        if number >= MAX_BATCHES:
            raise RefusedError(413, f"more than {MAX_BATCHES} record batches")
        rows += _rows_of(header)
        check_rows(rows, max_rows)


def _stream_headers(stream: bytes) -> Iterator[bytes]:
    for number, message in enumerate(pa.ipc.MessageReader.open_stream(stream)):
        if number == 0:
            if message.type != "schema" or len(message.metadata) > SCHEMA_BYTES:
                raise RefusedError(422, f"a stream starts with a schema of at most {SCHEMA_BYTES} bytes")
        elif message.type == "record batch":
            yield message.metadata.to_pybytes()
        else:
            raise RefusedError(422, f"a {message.type} message; {PLAIN}")


def _file_headers(file: bytes, footer: bytes, start: int, count: int) -> Iterator[bytes]:
    for number in range(count):
        place, length, _ = BLOCK.unpack_from(footer, start + number * BLOCK.size)
        if not 0 <= place <= place + length <= len(file):
            raise ValueError("a record batch that is not in the file")
        message = file[place : place + length]
        yield message[8:] if message.startswith(CONTINUED) else message[4:]


def _rows_of(header: bytes) -> int:
    """The rows that a record batch claims. Raises `RefusedError` where its buffers are compressed."""
    message = _follow(header, 0)
    batch = _follow(header, _field(header, message, HEADER))
    if _field(header, batch, COMPRESSION) or OLD_COMPRESSION in header:
        raise RefusedError(415, "compressed record batches are not supported; write them without compression")
    place = _field(header, batch, LENGTH)
    rows: int = struct.unpack_from("<q", header, place)[0] if place else 0
    if rows < 0:
        raise ValueError("a record batch of fewer than no rows")
    return rows


def _follow(data: bytes, place: int) -> int:
    """Where the offset at `place` leads."""
    return place + int(struct.unpack_from("<I", data, place)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Where a table has a field; 0 where it has not."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if vtable < 0:
        raise ValueError("a table without a start")
    entry = 4 + 2 * number
    if entry + 2 > struct.unpack_from("<H", data, vtable)[0]:
        return 0
    offset = int(struct.unpack_from("<H", data, vtable + entry)[0])
    return table + offset if offset else 0


def _vector(data: bytes, table: int, number: int) -> tuple[int, int]:
    """Where the elements of a table's vector start, and how many there are."""
    place = _field(data, table, number)
    if not place:
        return 0, 0
    start = _follow(data, place)
    return start + 4, int(struct.unpack_from("<I", data, start)[0])
