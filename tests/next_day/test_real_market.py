"""The next-day model on real price files: what its skill and its interval are worth."""

from pathlib import Path

import pytest

from stock_assets.layout import Layout
from tests.next_day.markets import load, make, publish_features

pytestmark = pytest.mark.slow


def test_real_prices_give_skill_against_every_baseline_and_an_interval_that_holds(
    real_prices: Path, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "data")
    load(layout, real_prices)
    publish_features(layout)
    made = make(layout, threads=2)
    metrics = made.manifest["metrics"]

    assert made.promoted
    assert metrics["skill"]["mean_20"] >= 0.22
    assert metrics["skill"]["ewma"] >= 0.05
    assert min(metrics["skill"].values()) > 0
    assert min(low for low, _ in metrics["skill_interval"].values()) > 0
    assert 0.78 <= metrics["interval"]["coverage"] <= 0.82
