import json
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
import tritonclient.http
from fastapi.testclient import TestClient

from serving.app import create_app
from tests.serving.batch_models import expected_volumes, inputs_of
from tests.serving.conftest import INPUTS, QUESTION, Models, promote_with_interval
from tests.serving.test_process import serve

MODEL = "/v2/models/volume_model"
INFER = f"{MODEL}/infer"


def tensor(values: Any, name: str = "x", datatype: str = "FP64", **more: Any) -> dict[str, Any]:
    data = np.asarray(values)
    return {"name": name, "shape": list(data.shape), "datatype": datatype, "data": data.tolist(), **more}


def outputs(response: Any) -> dict[str, list[int]]:
    return {output["name"]: output["data"] for output in response.json()["outputs"]}


@pytest.fixture(scope="module")
def wary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, str]]:
    """A service whose model has an interval, and its version."""
    models = Models(tmp_path_factory.mktemp("data"))
    version = promote_with_interval(models)
    with TestClient(models.app()) as client:
        yield client, version


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("rows", [0, 1, 700])
def test_one_tensor_of_two_columns_is_answered(good_client: TestClient, rows: int, nested: bool) -> None:
    inputs = inputs_of(rows)
    asked = tensor(inputs) if nested else tensor(inputs, data=inputs.ravel().tolist())
    response = good_client.post(INFER, json={"id": "a question", "inputs": [asked]})
    assert response.status_code == 200
    assert response.json() == {
        "model_name": "volume_model",
        "model_version": response.headers["x-model-version"],
        "id": "a question",
        "outputs": [{"name": "volume", "datatype": "INT64", "shape": [rows], "data": expected_volumes(inputs)}],
    }


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_named_columns_are_answered_in_any_order(
    good_client: TestClient, shape: tuple[int, ...], order: list[int]
) -> None:
    inputs = inputs_of(20)
    asked = [tensor(inputs[:, place].reshape(shape), INPUTS[place]) for place in order]
    response = good_client.post(INFER, json={"inputs": asked})
    assert outputs(response) == {"volume": expected_volumes(inputs)}
    assert "id" not in response.json()


@pytest.mark.parametrize("datatype", ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"])
def test_whole_numbers_are_taken_and_must_be_of_their_type(good_client: TestClient, datatype: str) -> None:
    inputs = np.array([[100.0, 25], [7, 1]])
    response = good_client.post(INFER, json={"inputs": [tensor(inputs, datatype=datatype)]})
    assert outputs(response)["volume"] == expected_volumes(inputs)
    for wrong in (1.5, 2.0**65):
        response = good_client.post(INFER, json={"inputs": [tensor([[wrong, 1]], datatype=datatype)]})
        assert (response.status_code, response.json()) == (400, {"error": f"'x': an element is no {datatype}"})


def test_fp32_and_fp16_are_rounded_as_their_binary_form_is(good_client: TestClient) -> None:
    inputs = np.array([[1234.5678, 0.1]])
    for datatype, kind in (("FP32", np.float32), ("FP16", np.float16)):
        response = good_client.post(INFER, json={"inputs": [tensor(inputs, datatype=datatype)]})
        assert outputs(response)["volume"] == expected_volumes(inputs.astype(kind).astype(float))
    too_large = good_client.post(INFER, json={"inputs": [tensor([[1e6, 1]], datatype="FP16")]})
    assert too_large.status_code == 400


def test_outputs_are_those_that_are_asked_for(wary: tuple[TestClient, str]) -> None:
    client, _ = wary
    inputs = inputs_of(5)
    every = outputs(client.post(INFER, json={"inputs": [tensor(inputs)]}))
    rows = client.post("/predict", json=[dict(zip(INPUTS, row, strict=True)) for row in inputs.tolist()]).json()
    assert every == {name: [row[name] for row in rows["predictions"]] for name in ("volume", "low", "high")}
    asked = {"inputs": [tensor(inputs)], "outputs": [{"name": "high"}, {"name": "volume"}]}
    assert list(outputs(client.post(INFER, json=asked)).items()) == [(name, every[name]) for name in ("high", "volume")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"inputs": None}, "inputs: "),
        ({"inputs": []}, "inputs: "),
        ({"inputs": [5]}, "inputs.0: "),
        ({"inputs": [tensor([[1, 2]])] * 3}, "inputs: "),
        ({"inputs": [tensor([[1, 2]])] * 2}, "send one tensor of shape [n, 2], or "),
        ({"inputs": [tensor([[1, 2, 3]])]}, "send one tensor of shape [n, 2], or "),
        ({"inputs": [tensor([1], INPUTS[0]), tensor([1], "other")]}, "send one tensor of shape [n, 2], or "),
        ({"inputs": [tensor([1], INPUTS[0]), tensor([1, 2], INPUTS[1])]}, "vol_moving_avg and adj_close_rolling_med"),
        ({"inputs": [tensor([[1, 2]], datatype="BOOL")]}, "'x': its datatype must be one of INT8"),
        ({"inputs": [tensor([[1, 2]], datatype="BYTES")]}, "'x': its datatype must be one of INT8"),
        ({"inputs": [tensor([[1, 2]], shape=[1, 1, 2])]}, "inputs.0.shape: "),
        ({"inputs": [tensor([[1, 2]], shape=[-1, 2])]}, "inputs.0.shape.0: "),
        ({"inputs": [tensor([[1, 2]], shape=[1.5, 2])]}, "inputs.0.shape.0: "),
        ({"inputs": [tensor([[1, 2]], shape=[2, 2])]}, "'x': its data is not of shape [2, 2]"),
        ({"inputs": [tensor([[1, 2]], data=[1])]}, "'x': 1 elements, but its shape [1, 2] has 2"),
        ({"inputs": [tensor([[1, 2]], data=[[1], [2, 3]])]}, "'x': its data is not of shape [1, 2]"),
        ({"inputs": [tensor([[1, 2]], data=[[[1, 2]]])]}, "'x': its data is not of shape [1, 2]"),
        ({"inputs": [tensor([[1, 2]], data=["1", "2"])]}, "'x': its data must be a list of numbers"),
        ({"inputs": [tensor([[1, 2]], data=[True, 2])]}, "'x': its data must be a list of numbers"),
        ({"inputs": [tensor([[1, 2]], data=[None, 2])]}, "'x': its data must be a list of numbers"),
        ({"inputs": [tensor([[1, 2]], data={"a": 1})]}, "'x': its data must be a list of numbers"),
        ({"inputs": [tensor([[1, 2], [3, -4], [-5, 6]])]}, "adj_close_rolling_med, row 1: is -4, but must be finite"),
        ({"inputs": [tensor([[1, 2]], parameters={"shared_memory_region": "r"})]}, "inputs.0.parameters.shared_memory"),
        ({"inputs": [tensor([[1, 2]], parameters={"binary_data_size": 16})]}, "'x': its binary data is not as"),
        ({"id": 5}, "id: "),
        ({"outputs": [{"name": "low"}]}, "there is no output 'low'; there are volume"),
        ({"outputs": [{"name": "volume"}] * 2}, "an output is asked for twice"),
        ({"outputs": [{"name": "volume", "parameters": {"classification": 1}}]}, "outputs.0.parameters.classification"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_as_the_protocol_says_it(
    good_client: TestClient, change: dict[str, Any], reason: str
) -> None:
    response = good_client.post(INFER, json={"inputs": [tensor([[1, 2]])], **change})
    assert response.status_code == 400
    assert list(response.json()) == ["error"]
    assert response.json()["error"].startswith(reason)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"null", b"\xff", b"[" * 100_000, b'{"a":1,"a":1}', b"[NaN]"])
def test_what_is_no_request_is_400(good_client: TestClient, body: bytes) -> None:
    response = good_client.post(INFER, content=body)
    assert response.status_code == 400
    assert list(response.json()) == ["error"]


def test_what_the_protocol_leaves_open_is_ignored(good_client: TestClient) -> None:
    parameters = {"anything": 1, "sequence_id": 7}
    asked = {"inputs": [tensor([[1, 2]], parameters=parameters, extra=1)], "parameters": parameters, "extra": {}}
    assert good_client.post(INFER, json=asked).status_code == 200


def test_too_many_rows_are_refused(models: Models) -> None:
    models.promote(models.publish()[0])
    with TestClient(create_app(models.settings().model_copy(update={"max_rows": 10}))) as client:
        assert client.post(INFER, json={"inputs": [tensor(inputs_of(10))]}).status_code == 200
        response = client.post(INFER, json={"inputs": [tensor(inputs_of(11))]})
    assert response.status_code == 413
    assert response.json() == {"error": "11 rows; this service predicts at most 10 in one request"}


def test_a_compressed_body_is_refused(good_client: TestClient) -> None:
    response = good_client.post(INFER, content=b"{}", headers={"content-encoding": "gzip"})
    assert response.status_code == 415
    assert list(response.json()) == ["error"]


def binary(head: dict[str, Any], blob: bytes, length: str | None = None) -> dict[str, Any]:
    text = json.dumps(head).encode()
    return {
        "content": text + blob,
        "headers": {"Inference-Header-Content-Length": str(len(text)) if length is None else length},
    }


def test_binary_data_goes_in_and_comes_out(wary: tuple[TestClient, str]) -> None:
    client, _ = wary
    inputs = inputs_of(300)
    asked = tensor(inputs, parameters={"binary_data_size": 300 * 2 * 8})
    del asked["data"]
    wanted = [{"name": "high", "parameters": {"binary_data": True}}, {"name": "volume"}]
    response = client.post(INFER, **binary({"inputs": [asked], "outputs": wanted}, inputs.tobytes()))
    assert response.status_code == 200
    length = int(response.headers["inference-header-content-length"])
    high, volume = json.loads(response.content[:length])["outputs"]
    assert high == {"name": "high", "datatype": "INT64", "shape": [300], "parameters": {"binary_data_size": 2400}}
    assert volume["data"] == expected_volumes(inputs)
    values = np.frombuffer(response.content[length:], "<i8").tolist()
    assert values == outputs(client.post(INFER, json={"inputs": [tensor(inputs)]}))["high"]


@pytest.mark.parametrize(
    ("size", "blob", "length"),
    [
        (16, 15, None),
        (16, 17, None),
        (15, 15, None),
        (-16, 0, None),
        (2**60, 16, None),
        (16, 16, "-1"),
        (16, 16, "999999"),
        (16, 16, "x"),
        (16, 16, "٣"),
        (16, 16, "9" * 5000),
        (16, 16, "3"),
        (16, 16, "0"),
    ],
)
def test_binary_data_of_another_size_is_400(good_client: TestClient, size: int, blob: int, length: str | None) -> None:
    asked = {"name": "x", "shape": [1, 2], "datatype": "FP64", "parameters": {"binary_data_size": size}}
    request = binary({"inputs": [asked]}, bytes(blob), length)
    request["headers"] = {name: value.encode() for name, value in request["headers"].items()}
    response = good_client.post(INFER, **request)
    assert response.status_code == 400
    assert list(response.json()) == ["error"]


def test_binary_nan_is_refused(good_client: TestClient) -> None:
    asked = {"name": "x", "shape": [1, 2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}
    response = good_client.post(INFER, **binary({"inputs": [asked]}, np.array([1, np.nan]).tobytes()))
    assert response.status_code == 400
    assert response.json()["error"].startswith("adj_close_rolling_med, row 0: is missing or NaN")


def test_metadata_describes_server_and_model(wary: tuple[TestClient, str]) -> None:
    client, version = wary
    assert set(client.get("/v2").json()) == {"name", "version", "extensions"}
    one, other = client.get(MODEL), client.get(f"{MODEL}/versions/{version}")
    assert one.json() == other.json()
    assert one.json()["versions"] == [version]
    assert [(tensor["name"], tensor["datatype"]) for tensor in one.json()["inputs"]] == [(n, "FP64") for n in INPUTS]
    assert [tensor["name"] for tensor in one.json()["outputs"]] == ["volume", "low", "high"]
    for path in ("/v2/health/live", "/v2/health/ready", f"{MODEL}/ready", f"{MODEL}/versions/{version}/ready"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("name", ["next_day_model", "Volume_model", "volume_model%2F..", "%00"])
def test_other_models_are_404(good_client: TestClient, name: str) -> None:
    for path in (f"/v2/models/{name}", f"/v2/models/{name}/ready", f"/v2/models/{name}/versions/1"):
        assert good_client.get(path).status_code == 404
    assert good_client.post(f"/v2/models/{name}/infer", json={}).status_code == 404


def test_versions_are_those_on_disk(models: Models) -> None:
    first, answer = models.publish()
    models.promote(models.publish(level=1.0)[0])
    with TestClient(models.app()) as client:
        asked = {"inputs": [tensor([list(QUESTION.values())])]}
        response = client.post(f"{MODEL}/versions/{first}/infer", json=asked)
        assert (outputs(response), response.json()["model_version"]) == ({"volume": [answer]}, first)
        missing = client.post(f"{MODEL}/versions/none/infer", json=asked)
    assert missing.status_code == 404
    assert list(missing.json()) == ["error"]


def test_without_a_model_nothing_is_ready(client: TestClient) -> None:
    assert client.get("/v2").status_code == client.get("/v2/health/live").status_code == 200
    for path in ("/v2/health/ready", MODEL, f"{MODEL}/ready"):
        response = client.get(path)
        assert (response.status_code, list(response.json())) == (503, ["error"])
    assert client.post(INFER, json={}).status_code == 503


def test_tritons_own_client_works_unmodified(models: Models) -> None:
    version, answer = models.publish()
    models.promote(version)
    inputs = np.array([list(QUESTION.values()), [1, 2]], dtype=float)
    with serve(models) as url, tritonclient.http.InferenceServerClient(url.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("volume_model", version)
        assert not client.is_model_ready("another")
        assert client.get_model_metadata("volume_model")["versions"] == [version]
        for as_binary in (True, False):
            one = tritonclient.http.InferInput("x", [2, 2], "FP64")
            one.set_data_from_numpy(inputs, binary_data=as_binary)
            result = client.infer("volume_model", [one], request_id="an-id")
            assert result.get_response()["id"] == "an-id"
            assert result.as_numpy("volume").tolist() == expected_volumes(inputs)
            columns = [tritonclient.http.InferInput(name, [2, 1], "INT64") for name in INPUTS]
            for place, column in enumerate(columns):
                column.set_data_from_numpy(inputs[:, [place]].astype(np.int64), binary_data=as_binary)
            wanted = [tritonclient.http.InferRequestedOutput("volume", binary_data=as_binary)]
            result = client.infer("volume_model", columns, model_version=version, outputs=wanted)
            assert result.as_numpy("volume")[0] == answer
        assert httpx2.get(f"{url}/v2/models/another").json() == {
            "error": "there is no model of that name; there is volume_model"
        }
