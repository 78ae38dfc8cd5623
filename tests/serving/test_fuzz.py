"""Whatever is sent to the endpoints that take a body, they answer with a status of 2xx or 4xx that they document."""

import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.batch_bodies import FILE, JSON, PARQUET, STREAM, as_file, as_parquet, as_stream, frame
from tests.serving.conftest import INPUTS

PATHS = ["/predict", "/invocations", "/v2/models/volume_model/infer"]
KEYS = [
    *INPUTS,
    "rows",
    "inputs",
    "instances",
    "dataframe_split",
    "dataframe_records",
    "columns",
    "data",
    "outputs",
    "id",
    "name",
    "shape",
    "datatype",
    "parameters",
    "binary_data_size",
]
NUMBERS = st.one_of(st.integers(), st.floats(), st.floats(0, 1e15), st.sampled_from([0, 1, 2, -0.0, 10**400, 2**63]))
SCALARS = st.one_of(
    st.none(), st.booleans(), NUMBERS, st.text(max_size=5), st.sampled_from([*INPUTS, "FP64", "INT8", "BYTES"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
NUMBER_PAIRS = st.lists(st.lists(NUMBERS, min_size=2, max_size=2), max_size=3)


@st.composite
def nearly_right(draw: st.DrawFn) -> Any:
    """What the endpoints take, with one part replaced by anything."""
    rows = draw(NUMBER_PAIRS)
    named = [dict(zip(INPUTS, row, strict=True)) for row in rows]
    tensor = {"name": "x", "shape": [len(rows), 2], "datatype": "FP64", "data": rows}
    body: dict[str, Any] = draw(
        st.sampled_from(
            [
                {"rows": named},
                {name: [row[place] for row in rows] for place, name in enumerate(INPUTS)},
                {"dataframe_split": {"columns": [*INPUTS], "data": rows}},
                {"dataframe_records": named},
                {"instances": rows},
                {"inputs": [tensor], "outputs": [{"name": "volume"}]},
            ]
        )
    )
    place: Any = body
    while draw(st.booleans()):
        keys = list(place) if isinstance(place, dict) else range(len(place)) if isinstance(place, list) else []
        if not keys:
            break
        key = draw(st.sampled_from(keys))
        if draw(st.booleans()) or not isinstance(place[key], dict | list):
            place[key] = draw(VALUES)
            break
        place = place[key]
    return body


@pytest.fixture(scope="module")
def documented(good_client: TestClient) -> dict[str, set[int]]:
    paths = good_client.get("/openapi.json").json()["paths"]
    named = {path: paths[path.replace("volume_model", "{name}")]["post"]["responses"] for path in PATHS}
    return {path: {int(status) for status in responses if int(status) < 500} for path, responses in named.items()}


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60)
@given(body=VALUES | nearly_right())
def test_any_json_is_answered(good_client: TestClient, documented: dict[str, set[int]], path: str, body: Any) -> None:
    response = good_client.post(path, content=json.dumps(body), headers={"content-type": JSON})
    assert response.status_code in documented[path]
    if response.status_code == 200:
        json.loads(response.content, parse_constant=pytest.fail)


HEADERS = st.fixed_dictionaries(
    {
        "content-type": st.sampled_from([JSON, STREAM, FILE, PARQUET, "text/csv", ""]),
        "inference-header-content-length": st.text("0123456789-", max_size=3),
        "accept": st.text("apliction/jsqu=0.*,;", max_size=20) | st.just("*/*"),
    }
)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60)
@given(body=st.binary(), headers=HEADERS)
def test_any_bytes_are_answered(
    good_client: TestClient, documented: dict[str, set[int]], path: str, body: bytes, headers: dict[str, str]
) -> None:
    assert good_client.post(path, content=body, headers=headers).status_code in documented[path]


@settings(max_examples=60)
@given(text=st.text("0123456789.,-e\n\r\"' _na\x00é", max_size=60))
def test_any_csv_is_answered(good_client: TestClient, documented: dict[str, set[int]], text: str) -> None:
    body = (",".join(INPUTS) + "\n" + text).encode()
    response = good_client.post("/invocations", content=body, headers={"content-type": "text/csv"})
    assert response.status_code in documented["/invocations"]


@pytest.mark.parametrize(
    ("kind", "body"), [(STREAM, as_stream(frame(40))), (FILE, as_file(frame(40))), (PARQUET, as_parquet(frame(40)))]
)
@settings(max_examples=50)
@given(changes=st.lists(st.tuples(st.integers(0, 10**4), st.binary(min_size=1, max_size=4), st.booleans()), min_size=1))
def test_a_damaged_table_is_answered(
    good_client: TestClient,
    documented: dict[str, set[int]],
    kind: str,
    body: bytes,
    changes: list[tuple[int, bytes, bool]],
) -> None:
    damaged = bytearray(body)
    for place, new, inserted in changes:
        start = place % len(damaged)
        damaged[start : start + (0 if inserted else len(new))] = new
    response = good_client.post("/predict", content=bytes(damaged), headers={"content-type": kind})
    assert response.status_code in documented["/predict"]


@settings(max_examples=60)
@given(blob=st.binary(max_size=64), shape=st.lists(st.integers(-1, 5), max_size=3), size=st.integers(-1, 65))
def test_any_binary_tensor_is_answered(
    good_client: TestClient, documented: dict[str, set[int]], blob: bytes, shape: list[int], size: int
) -> None:
    tensor = {"name": "x", "shape": shape, "datatype": "FP32", "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"inference-header-content-length": str(len(head))}
    response = good_client.post(PATHS[2], content=head + blob, headers=headers)
    assert response.status_code in documented[PATHS[2]]
    if response.status_code == 200:
        values = np.frombuffer(blob, "<f4")
        assert size == len(blob) == len(values) * 4
        assert np.all(values >= 0)
