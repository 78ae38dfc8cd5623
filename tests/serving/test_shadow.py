"""The shadow version: what it says is logged and compared, never answered."""

import numpy as np
import pytest
from prometheus_client import REGISTRY

from tests.serving.conftest import QUESTION, Models, expected_volume, train
from tests.serving.test_recording import logged, served


def test_a_shadow_scores_the_same_rows_and_nobody_is_told(models: Models) -> None:
    shadow, _ = models.publish(level=1.0)
    version, client = served(models, prediction_log=True, shadow_version=shadow)
    questions = [(500.0, 20.0), (12345.0, 25.0), (0.0, 7.0)]
    names = list(QUESTION)
    with client:
        answers = [client.get("/predict", params=dict(zip(names, one, strict=True))).json() for one in questions]
    theirs = [expected_volume(train(1.0), *one) for one in questions]
    assert answers == [expected_volume(train(0.0), *one) for one in questions]
    assert logged(models)["shadow_volume"].to_list() == theirs
    assert logged(models)["shadow_version"].unique().to_list() == [shadow]

    labels = {"model": "volume_model", "served": version, "shadow": shadow}
    assert REGISTRY.get_sample_value("serving_shadow_rows_total", labels) == 3
    difference = REGISTRY.get_sample_value("serving_shadow_difference_shares_total", labels)
    assert difference == sum(abs(a - b) for a, b in zip(answers, theirs, strict=True))
    ratios = sum(abs(np.log((a + 1) / (b + 1))) for a, b in zip(answers, theirs, strict=True))
    assert REGISTRY.get_sample_value("serving_shadow_log_ratio_total", labels) == pytest.approx(ratios, rel=1e-12)


def test_a_shadow_without_a_log_is_compared_all_the_same(models: Models) -> None:
    shadow, _ = models.publish(level=0.5)
    version, client = served(models, shadow_version=shadow)
    with client:
        client.get("/predict", params=QUESTION)
    labels = {"model": "volume_model", "served": version, "shadow": shadow}
    assert REGISTRY.get_sample_value("serving_shadow_rows_total", labels) == 1
    assert not (models.data_dir / "logs").exists()


@pytest.mark.parametrize("damage", [None, "model.txt", "manifest.json"])
def test_a_shadow_that_is_missing_or_refused_is_told_and_the_service_goes_on(
    models: Models, damage: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    shadow = f"never-made-{damage}"
    if damage:
        shadow, _ = models.publish(level=1.0)
        (models.folder / shadow / damage).write_text("{}")
    _, client = served(models, prediction_log=True, shadow_version=shadow)
    with client:
        assert client.get("/predict", params=QUESTION).status_code == 200
    assert logged(models)["shadow_volume"].to_list() == [None]
    assert REGISTRY.get_sample_value("serving_shadow_failures_total", {"shadow": shadow}) == 1
    assert [f"STOCK_ASSETS_SHADOW_VERSION={shadow}: " in line for line in caplog.messages].count(True) == 1
