import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from tests.serving.batch_bodies import (
    FILE,
    PARQUET,
    STREAM,
    arrow_parquet,
    as_file,
    as_parquet,
    as_stream,
    frame,
    post,
    read,
    records,
)
from tests.serving.batch_models import expected_volumes, inputs_of
from tests.serving.conftest import INPUTS


@pytest.mark.parametrize(("kind", "write"), [(STREAM, as_stream), (FILE, as_file), (PARQUET, as_parquet)])
def test_too_many_rows_are_refused_before_a_column_is_read(
    small_client: TestClient, kind: str, write: Callable[[pl.DataFrame], bytes]
) -> None:
    assert post(small_client, write(frame(10)), kind).status_code == 200
    response = post(small_client, write(frame(11)), kind)
    assert response.status_code == 413
    assert "11 rows" in response.json()["detail"]


@pytest.mark.parametrize(("kind", "write"), [(STREAM, as_stream), (FILE, as_file), (PARQUET, as_parquet)])
@pytest.mark.parametrize("rows", [0, 3, 5000])
def test_tables_are_answered_by_tables(
    good_client: TestClient, kind: str, write: Callable[[pl.DataFrame], bytes], rows: int
) -> None:
    response = post(good_client, write(frame(rows)), kind)
    assert response.status_code == 200
    assert response.headers["content-type"] == kind
    answer = read(response.content, kind)
    types = {"volume": pl.Int64, "low": pl.Int64, "high": pl.Int64, "outside_training": pl.Boolean}
    assert dict(answer.schema) == types
    assert answer["volume"].to_list() == expected_volumes(inputs_of(rows))
    assert answer["low"].null_count() == answer["high"].null_count() == rows
    assert not answer["outside_training"].any()


def test_a_table_of_answers_has_intervals_warnings_and_the_version(wary_client: TestClient) -> None:
    inputs = np.array([[500.0, 20], [5, 20]])
    response = post(wary_client, as_stream(pl.DataFrame(inputs, schema=INPUTS)), STREAM)
    table = pa.ipc.open_stream(response.content).read_all()
    rows = wary_client.post("/predict", json=records(inputs)).json()
    assert table.column("low").to_pylist() == [row["low"] for row in rows["predictions"]]
    assert table.column("high").to_pylist() == [row["high"] for row in rows["predictions"]]
    assert table.column("outside_training").to_pylist() == [False, True]
    version = response.headers["x-model-version"].encode()
    assert table.schema.metadata == {b"model": b"volume_model", b"version": version}


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.uint16(), pa.int64(), pa.float16(), pa.float32(), pa.decimal128(9, 2), pa.decimal256(50, 1)]
)
def test_any_type_of_number_is_taken(good_client: TestClient, kind: pa.DataType) -> None:
    table = pa.table(dict.fromkeys(INPUTS, pa.array([1.0, 5, 100]).cast(kind)))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    expected = expected_volumes(np.array([[1.0, 1], [5, 5], [100, 100]]))
    assert read(post(good_client, sink.getvalue(), STREAM).content, STREAM)["volume"].to_list() == expected
    assert read(post(good_client, arrow_parquet(table), PARQUET).content, PARQUET)["volume"].to_list() == expected


@pytest.mark.parametrize("compression", ["uncompressed", "snappy", "zstd", "gzip", "lz4", "brotli"])
def test_parquet_may_be_compressed(good_client: TestClient, compression: Any) -> None:
    response = post(good_client, as_parquet(frame(3000), compression=compression), PARQUET)
    assert read(response.content, PARQUET)["volume"].to_list() == expected_volumes(inputs_of(3000))


@pytest.mark.parametrize(
    "options",
    [
        {"data_page_version": "2.0"},
        {"use_dictionary": False, "column_encoding": "BYTE_STREAM_SPLIT"},
        {"row_group_size": 100},
        {"data_page_size": 100, "write_page_index": True, "write_page_checksum": True},
    ],
    ids=str,
)
def test_parquet_may_be_laid_out_in_any_way(good_client: TestClient, options: dict[str, Any]) -> None:
    body = arrow_parquet(frame(3000).select(INPUTS).to_arrow(), **options)
    response = post(good_client, body, PARQUET)
    assert read(response.content, PARQUET)["volume"].to_list() == expected_volumes(inputs_of(3000))


@pytest.mark.parametrize(("kind", "write"), [(STREAM, as_stream), (FILE, as_file)])
@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_arrow_is_refused_before_it_is_expanded(
    good_client: TestClient, kind: str, write: Callable[..., bytes], compression: str
) -> None:
    bomb = pl.DataFrame({name: np.zeros(900_000) for name in INPUTS})
    response = post(good_client, write(bomb, compression), kind)
    assert response.status_code == 415
    assert "without compression" in response.json()["detail"]


def test_a_parquet_page_that_would_expand_is_refused(small_client: TestClient) -> None:
    body = arrow_parquet(
        pa.table({name: pa.array([1.0] * 10) for name in INPUTS}), use_dictionary=False, compression="zstd"
    )
    assert post(small_client, body, PARQUET).status_code == 200
    # The header of the first page, in Thrift's compact protocol: 0x15 0x00 is its type, 0x15 and a varint its size.
    metadata = pq.ParquetFile(io.BytesIO(body)).metadata
    place = metadata.row_group(0).column(0).data_page_offset
    assert body[place : place + 3] == b"\x15\x00\x15"
    header_only = body[:place] + b"\x15\x00\x15" + b"\xfe\xff\xff\xff\x0f"
    claimed = header_only + body[len(header_only) :]
    response = post(small_client, claimed, PARQUET)
    assert response.status_code == 413
    assert "expand" in response.json()["detail"]


def test_a_footer_that_would_end_the_process_is_refused(good_client: TestClient) -> None:
    body = arrow_parquet(frame(40).select(INPUTS).to_arrow())
    # The column becomes a required one by its repetition type, so that its histogram has one entry too many.
    damaged = body.replace(b"\x25\x02\x18\x0evol_moving_avg", b"\x25\x00\x18\x0evol_moving_avg")
    assert damaged != body
    response = post(good_client, damaged, PARQUET)
    assert response.status_code == 422
    assert "histogram" in response.json()["detail"]


def test_a_large_footer_is_refused_before_it_is_read(good_client: TestClient) -> None:
    table = pl.DataFrame({f"{'column' * 20}{number}": [1] for number in range(1000)})
    response = post(good_client, as_parquet(table), PARQUET)
    assert response.status_code == 413
    assert "footer" in response.json()["detail"]


def test_bodies_of_countless_parts_are_refused(good_client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.arrow_messages.MAX_BATCHES", 2)
    monkeypatch.setattr("serving.arrow_batches.MAX_PAGES", 4)
    table = frame(30).select(INPUTS).to_arrow()
    for kind, opened in ((STREAM, pa.ipc.new_stream), (FILE, pa.ipc.new_file)):
        for parts, status in ((2, 200), (3, 413)):
            sink = io.BytesIO()
            with opened(sink, table.schema) as writer:
                for _ in range(parts):
                    writer.write_table(table)
            assert post(good_client, sink.getvalue(), kind).status_code == status
    for group_rows, status in ((15, 200), (10, 413)):
        body = arrow_parquet(table, use_dictionary=False, row_group_size=group_rows)
        assert post(good_client, body, PARQUET).status_code == status


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (pl.DataFrame({"vol_moving_avg": [1.0]}), "adj_close_rolling_med: there is no such column"),
        (pl.DataFrame({"vol_moving_avg": ["1"], "adj_close_rolling_med": [1]}), "vol_moving_avg: must be a column of"),
        (pl.DataFrame({"vol_moving_avg": [True], "adj_close_rolling_med": [1]}), "vol_moving_avg: must be a column of"),
        (pl.DataFrame({"vol_moving_avg": [[1.0]], "adj_close_rolling_med": [1]}), "vol_moving_avg: must be a column"),
        (
            pl.DataFrame({"vol_moving_avg": [1, None], "adj_close_rolling_med": [1, 1]}),
            "vol_moving_avg, row 1: is miss",
        ),
        (pl.DataFrame({"vol_moving_avg": [1.0], "adj_close_rolling_med": [np.nan]}), "adj_close_rolling_med, row 0"),
        (pl.DataFrame({"vol_moving_avg": [1, -1], "adj_close_rolling_med": [1, -1]}), "vol_moving_avg, row 1: is -1"),
    ],
)
@pytest.mark.parametrize(("kind", "write"), [(STREAM, as_stream), (FILE, as_file), (PARQUET, as_parquet)])
def test_a_wrong_table_is_refused_with_the_reason(
    good_client: TestClient, kind: str, write: Callable[[pl.DataFrame], bytes], table: pl.DataFrame, reason: str
) -> None:
    response = post(good_client, write(table), kind)
    assert response.status_code == 422
    assert response.json()["detail"].startswith(reason)


@pytest.mark.parametrize("kind", [STREAM, FILE, PARQUET])
def test_a_column_that_is_there_twice_is_refused(good_client: TestClient, kind: str) -> None:
    table = pa.Table.from_arrays([pa.array([1.0])] * 3, names=[*INPUTS, INPUTS[0]])
    sink = io.BytesIO()
    if kind == PARQUET:
        pq.write_table(table, sink)
    else:
        with (pa.ipc.new_stream if kind == STREAM else pa.ipc.new_file)(sink, table.schema) as writer:
            writer.write_table(table)
    response = post(good_client, sink.getvalue(), kind)
    assert response.status_code == 422
    assert "several columns" in response.json()["detail"]


def test_compression_as_old_writers_said_it_is_refused(good_client: TestClient) -> None:
    table = frame(3).select(INPUTS).to_arrow()
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_batch(table.to_batches()[0], custom_metadata={"ARROW:experimental_compression": "zstd"})
    assert post(good_client, sink.getvalue(), STREAM).status_code == 415


def test_dictionaries_are_refused(good_client: TestClient) -> None:
    table = frame(10).with_columns(pl.col("Symbol").cast(pl.Categorical))
    for kind, body in ((STREAM, as_stream(table)), (FILE, as_file(table))):
        response = post(good_client, body, kind)
        assert response.status_code == 422
        assert "dictionary" in response.json()["detail"]


def test_a_batch_that_claims_more_rows_than_it_has_is_refused(good_client: TestClient) -> None:
    body = as_stream(pl.DataFrame({name: np.arange(77.0) for name in INPUTS}))
    claimed = body.replace((77).to_bytes(8, "little"), (7777).to_bytes(8, "little"))
    assert claimed != body
    response = post(good_client, claimed, STREAM)
    assert response.status_code == 422
    assert response.json()["detail"].startswith("the body cannot be read")


WITHOUT_PANDAS = """
import sys
from types import SimpleNamespace
import numpy as np
from serving import arrow_batches, mlflow_scoring
from serving.answers import Answers

model = SimpleNamespace(name="m", version="v")
for read, kind in ((arrow_batches.read_arrow_stream, "stream"), (arrow_batches.read_parquet, "parquet")):
    assert len(read(open(sys.argv[1] + "/" + kind, "rb").read(), 10)) == 3
mlflow_scoring.read_scoring_csv(b"vol_moving_avg,adj_close_rolling_med\\n1,2", 10)
table = arrow_batches.answer_table(model, Answers(np.arange(3), None, np.arange(3), {"a": np.ones(3, bool)}))
for write in (arrow_batches.write_arrow_stream, arrow_batches.write_arrow_file, arrow_batches.write_parquet):
    write(table)
assert "pandas" not in sys.modules
"""


def test_tables_are_read_and_written_without_pandas(tmp_path: Path) -> None:
    (tmp_path / "stream").write_bytes(as_stream(frame(3)))
    (tmp_path / "parquet").write_bytes(as_parquet(frame(3)))
    subprocess.run([sys.executable, "-c", WITHOUT_PANDAS, str(tmp_path)], check=True)
