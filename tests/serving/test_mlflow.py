import json
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from tests.serving.batch_models import expected_volumes, inputs_of
from tests.serving.conftest import INPUTS, QUESTION, Models

ROWS = inputs_of(40)
NAMED = [dict(zip(INPUTS, row, strict=True)) for row in ROWS.tolist()]
SPLIT = {
    "columns": ["Symbol", INPUTS[1], INPUTS[0]],
    "data": [["A", price, volume] for volume, price in ROWS.tolist()],
}
COLUMNS = dict(zip(INPUTS, ROWS.T.tolist(), strict=True))


def post_csv(client: TestClient, text: str | bytes) -> Any:
    return client.post("/invocations", content=text, headers={"content-type": "text/csv; charset=utf-8"})


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_split": {"index": list(range(40)), **SPLIT}},
        {"dataframe_records": NAMED},
        {"inputs": ROWS.tolist()},
        {"inputs": COLUMNS},
        {"instances": ROWS.tolist()},
        {"instances": NAMED},
        {"inputs": ROWS.tolist(), "params": {"anything": 1}, "signature_name": "x"},
    ],
    ids="-".join,
)
def test_each_form_of_json_is_answered(good_client: TestClient, body: dict[str, Any]) -> None:
    response = good_client.post("/invocations", json=body)
    assert response.status_code == 200
    assert response.json() == {"predictions": expected_volumes(ROWS)}
    assert response.headers["x-model-version"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", [True, False])
def test_csv_with_a_header_is_answered(good_client: TestClient, newline: str, end: bool) -> None:
    lines = ['Symbol,adj_close_rolling_med,"vol_moving_avg"']
    lines += [f'"A,B",{price!r},{volume!r}' for volume, price in ROWS.tolist()]
    response = post_csv(good_client, newline.join(lines) + newline * end)
    assert response.json() == {"predictions": expected_volumes(ROWS)}


@pytest.mark.parametrize("body", [{"inputs": []}, {"dataframe_records": []}, {"instances": []}])
def test_no_rows_have_no_predictions(good_client: TestClient, body: dict[str, Any]) -> None:
    assert good_client.post("/invocations", json=body).json() == {"predictions": []}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ([], "send a JSON object with exactly one of"),
        ({}, "send a JSON object with exactly one of"),
        ({"inputs": [], "instances": []}, "send a JSON object with exactly one of"),
        ({"inputs": 5}, "inputs: must be a list of rows"),
        ({"inputs": None}, "inputs: must be a list of rows"),
        ({"inputs": [[1, 2], [1]]}, "inputs.1: must be a list of 2 numbers"),
        ({"inputs": [[1, 2], 5]}, "inputs.1: must be a list of 2 numbers"),
        ({"inputs": [[1, 2], [3, "4"]]}, "inputs.1.adj_close_rolling_med: must be a number"),
        ({"inputs": [[1, 2], [-3, 4]]}, "inputs.1.vol_moving_avg: is -3, but must be"),
        ({"inputs": QUESTION}, "inputs.vol_moving_avg: must be a list"),
        ({"inputs": {"vol_moving_avg": [1]}}, "inputs.adj_close_rolling_med: must be a list"),
        ({"instances": [QUESTION, {}]}, "instances.1.vol_moving_avg: is missing"),
        ({"instances": [QUESTION, [1, 2]]}, "instances.0: must be a list of 2 numbers"),
        ({"dataframe_records": {"a": 1}}, "dataframe_records: must be a list of rows"),
        ({"dataframe_records": [[1, 2]]}, "dataframe_records.0: must be an object"),
        ({"dataframe_split": []}, "dataframe_split: must have the lists columns and data"),
        ({"dataframe_split": {"columns": INPUTS}}, "dataframe_split: must have the lists columns and data"),
        ({"dataframe_split": {"columns": INPUTS[:1], "data": []}}, "dataframe_split.columns: must have adj_close"),
        ({"dataframe_split": {"columns": [*INPUTS, INPUTS[0]], "data": []}}, "dataframe_split.columns: must have vol"),
        ({"dataframe_split": {"columns": INPUTS, "data": [[1]]}}, "dataframe_split.data.0: must be a list of 2"),
        ({"dataframe_split": {"columns": INPUTS, "data": [[1, None]]}}, "dataframe_split.data.0.adj_close_rolling_med"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_as_mlflow_says_it(good_client: TestClient, body: Any, reason: str) -> None:
    response = good_client.post("/invocations", json=body)
    assert response.status_code == 400
    assert set(response.json()) == {"error_code", "message"}
    assert response.json()["error_code"] == "BAD_REQUEST"
    assert response.json()["message"].startswith(reason)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "vol_moving_avg,adj_close_rolling_med",
        "vol_moving_avg\n1\n",
        "vol_moving_avg,vol_moving_avg,adj_close_rolling_med\n1,2,3\n",
        "vol_moving_avg,adj_close_rolling_med\n1,abc\n",
        "vol_moving_avg,adj_close_rolling_med\n1,1_000\n",
        "vol_moving_avg,adj_close_rolling_med\n1,\n",
        "vol_moving_avg,adj_close_rolling_med\n1,nan\n",
        "vol_moving_avg,adj_close_rolling_med\n1,1e400\n",
        "vol_moving_avg,adj_close_rolling_med\n1\n",
        "vol_moving_avg,adj_close_rolling_med\n1,2,3\n",
        "vol_moving_avg,adj_close_rolling_med\n-1,2\n",
        'vol_moving_avg,adj_close_rolling_med\n"1,2\n',
        b"vol_moving_avg,adj_close_rolling_med\n\xff,2\n",
        b"\x00" * 1000,
    ],
)
def test_what_is_no_table_of_both_inputs_is_400(good_client: TestClient, text: str | bytes) -> None:
    response = post_csv(good_client, text)
    assert response.status_code == 400
    assert set(response.json()) == {"error_code", "message"}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"inputs": [[NaN, 1]]}', b'{"a":1,"a":1}'])
def test_what_is_no_json_is_400(good_client: TestClient, body: bytes) -> None:
    response = good_client.post("/invocations", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert set(response.json()) == {"error_code", "message"}


def test_too_many_rows_are_refused(models: Models) -> None:
    models.promote(models.publish()[0])
    with TestClient(create_app(models.settings().model_copy(update={"max_rows": 10}))) as client:
        body = {"inputs": np.ones((11, 2)).tolist()}
        assert client.post("/invocations", json=body).status_code == 413
        lines = [",".join(INPUTS), *["1,1"] * 11]
        assert post_csv(client, "\n".join(lines)).status_code == 413
        assert post_csv(client, "\n".join(lines[:-1])).status_code == 200
        assert post_csv(client, b"," * 10_000).status_code == 413


def test_other_types_and_compressed_bodies_are_415(good_client: TestClient) -> None:
    for headers in ({"content-type": "text/html"}, {"content-type": "application/json", "content-encoding": "gzip"}):
        response = good_client.post("/invocations", content=json.dumps({"inputs": []}), headers=headers)
        assert response.status_code == 415
        assert response.json()["error_code"] == "BAD_REQUEST"


def test_ping_and_version_are_answered(good_client: TestClient) -> None:
    assert (good_client.get("/ping").status_code, good_client.get("/ping").text) == (200, "\n")
    assert good_client.get("/version").text == version("stock-assets")
    assert good_client.get("/version").headers["content-type"].startswith("text/plain")


def test_without_a_model_ping_fails_and_the_reason_is_given(client: TestClient) -> None:
    for response in (client.get("/ping"), client.post("/invocations", json={"inputs": []})):
        assert response.status_code == 503
        assert "make run" in response.json()["message"]
    assert client.get("/version").status_code == 200
