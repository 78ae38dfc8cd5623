import json
import math
import re
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given
from hypothesis import strategies as st

from serving.inputs import MAX_VOLUME
from tests.serving.conftest import QUESTION, Models, expected_volume, train


def test_answers_a_bare_integer_and_its_version(models: Models) -> None:
    version, answer = models.publish()
    models.promote(version)
    with TestClient(models.app()) as client:
        response = client.get("/predict", params=QUESTION)
    assert response.status_code == 200
    assert response.text == str(answer)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-model-version"] == version


def test_answers_what_the_model_says(good_client: TestClient) -> None:
    booster = train(0.0)
    draw = np.random.default_rng(1)
    for volume, price in draw.uniform(0, [5000, 900], (40, 2)).tolist():
        response = good_client.get("/predict", params=_parameters(volume, price))
        assert response.json() == expected_volume(booster, volume, price)


@pytest.mark.parametrize("field", QUESTION)
@pytest.mark.parametrize("value", ["-1", "-1e-9", "nan", "NaN", "inf", "-inf", "1e999", "", "abc", "1,5", None])
def test_bad_input_is_named(good_client: TestClient, field: str, value: str | None) -> None:
    parameters: dict[str, Any] = {**QUESTION, field: value}
    if value is None:
        del parameters[field]
    response = good_client.get("/predict", params=parameters)
    assert response.status_code == 422
    assert [problem["loc"] for problem in _strict_json(response.text)["detail"]] == [["query", field]]


def test_each_bad_input_is_named(good_client: TestClient) -> None:
    response = good_client.get("/predict", params={"vol_moving_avg": "nan"})
    assert [problem["loc"][1] for problem in response.json()["detail"]] == list(QUESTION)


def test_a_volume_beyond_the_limit_is_refused(good_client: TestClient) -> None:
    assert good_client.get("/predict", params=_parameters(MAX_VOLUME, 1e308)).status_code == 200
    response = good_client.get("/predict", params=_parameters(MAX_VOLUME * 1.01, 1))
    assert response.status_code == 422


NUMBERS = st.one_of(
    st.floats(), st.floats(0, MAX_VOLUME), st.integers(), st.sampled_from([0.0, -0.0, 5e-324, MAX_VOLUME])
)


@given(volume=NUMBERS, price=NUMBERS)
@example(volume=-0.0, price=-0.0)
@example(volume=MAX_VOLUME, price=1.7e308)
def test_every_number_gets_an_integer_or_a_422(good_client: TestClient, volume: float, price: float) -> None:
    response = good_client.get("/predict", params=_parameters(volume, price))
    if 0 <= volume <= MAX_VOLUME and 0 <= price < math.inf:
        assert response.status_code == 200
        assert re.fullmatch(r"\d+", response.text)
    else:
        assert response.status_code == 422
        assert _strict_json(response.text)["detail"]


@given(volume=st.text(), price=st.text())
def test_every_text_gets_an_answer(good_client: TestClient, volume: str, price: str) -> None:
    response = good_client.get("/predict", params={"vol_moving_avg": volume, "adj_close_rolling_med": price})
    assert response.status_code in (200, 422)


def test_the_api_description_names_every_answer(good_client: TestClient) -> None:
    paths = good_client.get("/openapi.json").json()["paths"]
    predict = paths["/predict"]["get"]
    assert set(predict["responses"]) == {"200", "404", "409", "422", "503", "504"}
    assert "X-Model-Version" in predict["responses"]["200"]["headers"]
    assert predict["responses"]["200"]["content"]["application/json"]["schema"]["type"] == "integer"
    assert [p["name"] for p in predict["parameters"] if p["required"]] == list(QUESTION)
    assert set(paths["/health/ready"]["get"]["responses"]) == {"200", "503", "504"}


def _parameters(volume: float, price: float) -> dict[str, str]:
    return {"vol_moving_avg": repr(volume), "adj_close_rolling_med": repr(price)}


def _strict_json(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)
