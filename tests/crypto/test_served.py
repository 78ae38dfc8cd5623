"""What the service answers of a file that the pipeline wrote."""

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from stock_assets.settings import Settings
from tests.crypto.conftest import Ran
from tests.crypto.test_graph import manifest_of, predictions


@pytest.mark.parametrize("asset", ["ada", "bit"])
def test_the_service_answers_with_the_last_row_of_the_asset(walked: Ran, asset: str) -> None:
    last = predictions(walked.layout).query("asset == @asset").sort_values("date").iloc[-1]
    manifest = manifest_of(walked.layout)
    with TestClient(create_app(Settings(data_dir=walked.layout.data_dir))) as client:
        answer = client.get(f"/next-price/{asset.upper()}").json()

    assert (answer["asset"], answer["as_of"]) == (asset, str(last["date"].date()))
    assert (answer["price"], answer["prediction"], answer["rsi"]) == (last["price"], last["prediction"], last["rsi"])
    assert (answer["version"], answer["promoted"], answer["source"]) == (manifest["version"], False, "folder")
    assert answer["metrics"]["mae"] == manifest["metrics"]["assets"][asset][manifest["candidate"]]["mae"]
    assert not answer["beats_random_walk"]
    assert "beat \"tomorrow's price is today's\"" in answer["note"]
