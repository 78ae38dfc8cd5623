import json
import threading
import time
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

import serving.batches
from serving.batches import RefusedError
from serving.routes.batch import _wanted
from tests.serving.batch_bodies import (
    FILE,
    JSON,
    PARQUET,
    STREAM,
    as_parquet,
    as_stream,
    columns,
    frame,
    post,
    read,
    records,
)
from tests.serving.batch_models import expected_volumes, inputs_of
from tests.serving.conftest import EDGE, INPUTS, INTERVAL, QUESTION, RANGES, Models


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("rows", [0, 1, 25_001])
def test_rows_are_answered_by_rows(good_client: TestClient, rows: int, wrapped: bool) -> None:
    inputs = inputs_of(rows)
    response = good_client.post("/predict", json={"rows": records(inputs)} if wrapped else records(inputs))
    assert response.status_code == 200
    answer = response.json()
    assert answer["model"] == "volume_model"
    assert answer["version"] == response.headers["x-model-version"]
    assert [set(row) for row in answer["predictions"]] == [{"volume", "low", "high", "warnings"}] * rows
    assert [row["volume"] for row in answer["predictions"]] == expected_volumes(inputs)


def test_columns_are_answered_by_columns(good_client: TestClient) -> None:
    inputs = inputs_of(30)
    answer = good_client.post("/predict", json=columns(inputs)).json()["predictions"]
    assert answer["volume"] == expected_volumes(inputs)
    assert answer["low"] == answer["high"] == [None] * 30
    assert answer["warnings"] == [[]] * 30


def test_a_batch_of_one_is_answered_as_the_single_question_is(good_client: TestClient) -> None:
    single = good_client.get("/predict", params=QUESTION).json()
    assert good_client.post("/predict", json=[QUESTION]).json()["predictions"][0]["volume"] == single


def test_intervals_and_warnings_are_those_of_the_manifest(wary_client: TestClient) -> None:
    inputs = np.array([[500.0, 20], [EDGE, 20], [5, 20], [5000, 0.5]])
    by_row = wary_client.post("/predict", json=records(inputs)).json()["predictions"]
    by_column = wary_client.post("/predict", json=columns(inputs)).json()["predictions"]
    assert {name: [row[name] for row in by_row] for name in by_column} == by_column
    for row, (volume, price) in zip(by_row, inputs.tolist(), strict=True):
        bucket = int(volume >= EDGE)
        assert row["low"] == pytest.approx(row["volume"] * INTERVAL["low"][bucket], abs=1.5)  # type: ignore[index]
        assert row["high"] == pytest.approx(row["volume"] * INTERVAL["high"][bucket], abs=3)  # type: ignore[index]
        outside = [
            name
            for name, value in zip(INPUTS, (volume, price), strict=True)
            if not RANGES[name]["min"] <= value <= RANGES[name]["max"]
        ]
        assert [text.split()[0] for text in row["warnings"]] == outside
    assert [len(row["warnings"]) for row in by_row] == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"vol_moving_avg": -1}, "rows.17.vol_moving_avg: is -1, but must be from 0 to 1e+15"),
        ({"vol_moving_avg": 1.1e15}, "rows.17.vol_moving_avg: is 1.1e+15"),
        ({"adj_close_rolling_med": 1e400}, "rows.17.adj_close_rolling_med: is inf"),
        ({"adj_close_rolling_med": -1e-300}, "rows.17.adj_close_rolling_med: is -1e-300"),
        ({"adj_close_rolling_med": None}, "rows.17.adj_close_rolling_med: is missing"),
        ({"adj_close_rolling_med": "25"}, "rows.17.adj_close_rolling_med: must be a number"),
        ({"adj_close_rolling_med": True}, "rows.17.adj_close_rolling_med: must be a number"),
        ({"adj_close_rolling_med": [1]}, "rows.17.adj_close_rolling_med: must be a number"),
    ],
)
def test_a_wrong_row_is_named(good_client: TestClient, change: dict[str, Any], where: str) -> None:
    rows: list[dict[str, Any]] = [dict(QUESTION) for _ in range(30)]
    rows[17] |= change
    body = json.dumps({"rows": rows}).replace("Infinity", "1e400")
    response = post(good_client, body.encode())
    assert response.status_code == 422
    assert response.json()["detail"].startswith(where)


def test_the_first_wrong_value_is_named_and_the_others_are_counted(good_client: TestClient) -> None:
    response = good_client.post("/predict", json={"vol_moving_avg": [1, -2, -3], "adj_close_rolling_med": [1, 1, -1]})
    expected = "vol_moving_avg.1: is -2, but must be from 0 to 1e+15; 2 other values are wrong too"
    assert response.json() == {"detail": expected}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"null", "send {"),
        (b"5", "send {"),
        (b'"text"', "send {"),
        (b"{}", "send {"),
        (b'{"rows": {}}', "send {"),
        (b"[5]", "0: must be an object"),
        (b"[[1, 2]]", "0: must be an object"),
        (b"[{}]", "0.vol_moving_avg: is missing"),
        (b'{"vol_moving_avg": 1, "adj_close_rolling_med": 2}', "vol_moving_avg: must be a list"),
        (b'{"vol_moving_avg": [1]}', "adj_close_rolling_med: must be a list"),
        (b'{"vol_moving_avg": [1], "adj_close_rolling_med": [1, 2]}', "vol_moving_avg and adj_close_rolling_med"),
        (b'{"vol_moving_avg": [NaN], "adj_close_rolling_med": [1]}', "NaN is not JSON"),
        (b'{"vol_moving_avg": [-Infinity], "adj_close_rolling_med": [1]}', "-Infinity is not JSON"),
        (b'{"vol_moving_avg": [%b], "adj_close_rolling_med": [1]}' % (b"9" * 4000), "vol_moving_avg.0: is inf"),
        (b'{"vol_moving_avg": [1], "vol_moving_avg": [2], "adj_close_rolling_med": [1]}', "the key 'vol_moving_avg'"),
        (b'{"rows": [{"\\u0061": 1, "a": 2}]}', "the key 'a' appears twice"),
        (b"[" * 50, "no JSON"),
        (b"[" * 100_000, "the JSON is nested too deeply"),
        (b"[" * 50 + b"]" * 50, "0: must be an object"),
        (b'{"a":' * 100_000, "the JSON is nested too deeply"),
        (b'["\xff"]', "byte 2 is not UTF-8"),
        ("[]".encode("utf-16"), "byte 0 is not UTF-8"),
        (b'{"\\ud800": 1, "\\ud800": 1}', "the key '\\ud800' appears twice"),
    ],
)
def test_what_is_no_batch_is_refused_with_the_reason(good_client: TestClient, body: bytes, reason: str) -> None:
    response = post(good_client, body)
    assert response.status_code == 422
    assert response.json()["detail"].startswith(reason)


def test_a_key_that_appears_twice_among_many_is_found_at_once(good_client: TestClient) -> None:
    keys = b",".join(b'"%d":1' % number for number in range(200_000))
    start = time.perf_counter()
    assert "the key '199999' appears twice" in post(good_client, b'{%b,"199999":1}' % keys).json()["detail"]
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("accept", [f"{JSON};q=.{'1' * 60_000}x", "," * 60_000])
def test_a_long_accept_header_costs_no_time(accept: str) -> None:
    start = time.perf_counter()
    with pytest.raises(RefusedError):
        _wanted(accept, JSON)
    assert time.perf_counter() - start < 0.1


@pytest.mark.parametrize("unit", [b"[", b"{},", b"1,", b'{"a":', b"[],"])
def test_millions_of_tiny_values_are_refused_before_they_are_parsed(
    good_client: TestClient, unit: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.strict_json.json.loads", None)
    response = post(good_client, b"[" + unit * 5_000_000)
    assert response.status_code == 413


@pytest.mark.parametrize("body", [[QUESTION] * 11, {name: [1] * 11 for name in INPUTS}])
def test_too_many_rows_are_refused_as_json(small_client: TestClient, body: Any) -> None:
    response = small_client.post("/predict", json=body)
    assert response.status_code == 413
    assert response.json() == {"detail": "11 rows; this service predicts at most 10 in one request"}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", STREAM),
        ("application/*", STREAM),
        (JSON, JSON),
        (f"text/html, {PARQUET};q=0.5, {FILE};q=0.9", FILE),
        (f"{FILE};q=0, */*;q=0.1", STREAM),
        (f"{JSON};q=oops, {PARQUET}", PARQUET),
    ],
)
def test_the_answer_is_of_the_type_that_is_preferred(good_client: TestClient, accept: str, kind: str) -> None:
    response = post(good_client, as_stream(frame(3)), STREAM, accept=accept)
    assert (response.status_code, response.headers["content-type"]) == (200, kind)
    if kind == JSON:
        volumes = [row["volume"] for row in response.json()["predictions"]]
    else:
        volumes = read(response.content, kind)["volume"].to_list()
    assert volumes == expected_volumes(inputs_of(3))


@pytest.mark.parametrize("accept", ["text/html", "", "application/xml, image/*", f"{JSON};q=0"])
def test_no_type_that_there_is_is_406(good_client: TestClient, accept: str) -> None:
    assert post(good_client, b"[]", JSON, accept=accept).status_code == 406


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "\xff"])
def test_other_types_are_415(good_client: TestClient, kind: str) -> None:
    assert post(good_client, b"[]", kind.encode("latin-1")).status_code == 415  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "identity, gzip"])
def test_a_compressed_body_is_never_expanded(good_client: TestClient, encoding: str) -> None:
    headers = {"content-type": JSON, "content-encoding": encoding}
    response = good_client.post("/predict", content=b"[]", headers=headers)
    assert response.status_code == 415


def test_another_version_may_be_asked(models: Models) -> None:
    first, answer = models.publish()
    second, _ = models.publish(level=1.0)
    models.promote(second)
    with TestClient(models.app()) as client:
        response = client.post("/predict", params={"version": first}, json=[QUESTION])
        assert response.json()["version"] == response.headers["x-model-version"] == first
        assert response.json()["predictions"][0]["volume"] == answer
        assert client.post("/predict", params={"version": "none"}, json=[QUESTION]).status_code == 404
        too_long = client.post("/predict", params={"version": "v" * 101}, json=[QUESTION])
    assert too_long.status_code == 422
    assert too_long.json()["detail"].startswith("query.version: ")


def test_without_a_model_the_reason_is_given(client: TestClient) -> None:
    response = client.post("/predict", json=[QUESTION])
    assert response.status_code == 503
    assert "make run" in response.json()["detail"]


def test_large_batches_are_not_worked_on_by_the_event_loop(
    good_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    answer = serving.batches.answer
    monkeypatch.setattr("serving.batches.answer", lambda *a: seen.append(threading.current_thread().name) or answer(*a))
    post(good_client, as_parquet(frame(3)), PARQUET)
    good_client.post("/predict", json=records(inputs_of(1000)))
    assert all(name.startswith("batch") for name in seen)
    assert len(seen) == 2


def test_rows_are_counted(good_client: TestClient) -> None:
    def rows() -> float:
        text = good_client.get("/metrics").text
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith("serving_predictions_total{")
        )

    before = rows()
    good_client.post("/predict", json=records(inputs_of(12)))
    post(good_client, as_parquet(frame(30)), PARQUET)
    assert rows() - before == 42


def test_the_api_description_names_every_answer_and_type(good_client: TestClient) -> None:
    predict = good_client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    assert set(predict["responses"]) >= {"200", "400", "404", "406", "409", "413", "415", "422", "503"}
    assert set(predict["requestBody"]["content"]) == {JSON, STREAM, FILE, PARQUET}
    assert set(predict["responses"]["200"]["content"]) == {JSON, STREAM, FILE, PARQUET}
    assert "X-Model-Version" in predict["responses"]["200"]["headers"]
