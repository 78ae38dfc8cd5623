"""Batches as the tests send them: the types of bodies, tables in each, and clients of services with other limits."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from fastapi.testclient import TestClient

from tests.serving.batch_models import inputs_of
from tests.serving.conftest import INPUTS

STREAM = "application/vnd.apache.arrow.stream"
FILE = "application/vnd.apache.arrow.file"
PARQUET = "application/vnd.apache.parquet"
JSON = "application/json"


def records(inputs: np.ndarray[Any, Any]) -> list[dict[str, float]]:
    return [dict(zip(INPUTS, row, strict=True)) for row in inputs.tolist()]


def columns(inputs: np.ndarray[Any, Any]) -> dict[str, list[float]]:
    return dict(zip(INPUTS, inputs.T.tolist(), strict=True))


def frame(rows: int) -> pl.DataFrame:
    """The inputs in another order than the model's, beside columns that nobody asked for."""
    inputs = inputs_of(rows)
    symbols = pl.Series("Symbol", [f"S{row % 7}" for row in range(rows)], dtype=pl.String)
    return pl.DataFrame({"adj_close_rolling_med": inputs[:, 1], "Symbol": symbols, "vol_moving_avg": inputs[:, 0]})


def as_stream(table: pl.DataFrame, compression: Any = "uncompressed") -> bytes:
    place = io.BytesIO()
    table.write_ipc_stream(place, compression=compression)
    return place.getvalue()


def as_file(table: pl.DataFrame, compression: Any = "uncompressed") -> bytes:
    place = io.BytesIO()
    table.write_ipc(place, compression=compression)
    return place.getvalue()


def as_parquet(table: pl.DataFrame, **options: Any) -> bytes:
    place = io.BytesIO()
    table.write_parquet(place, **options)
    return place.getvalue()


def arrow_parquet(table: pa.Table, **options: Any) -> bytes:
    place = io.BytesIO()
    pq.write_table(table, place, **options)
    return place.getvalue()


def read(body: bytes, kind: str) -> pl.DataFrame:
    readers: dict[str, Callable[[bytes], Any]] = {
        STREAM: pl.read_ipc_stream,
        FILE: pl.read_ipc,
        PARQUET: pl.read_parquet,
    }
    answer: pl.DataFrame = readers[kind](body)
    return answer


def post(client: TestClient, body: bytes, kind: str = JSON, **headers: str) -> Any:
    return client.post("/predict", content=body, headers={"content-type": kind, **headers})
