"""One market, its model and its forecasts, made once; tests only read them."""

import shutil
from pathlib import Path

import pytest

from stock_assets.layout import Layout
from stock_assets.next_day.forecasts import Published
from stock_assets.versions import Trained
from tests.next_day.markets import build, forecast, make, quicken, usual_market


@pytest.fixture(scope="session")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The market of ten symbols with its features, and without a model."""
    return build(tmp_path_factory.mktemp("usual"), usual_market())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Trained]:
    """A data folder with a model that has its pictures."""
    layout = build(tmp_path_factory.mktemp("trained"), usual_market())
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch, draws=True)
        return layout, make(layout)


@pytest.fixture
def own(trained: tuple[Layout, Trained], tmp_path: Path) -> Layout:
    """A copy of that data folder, for the test alone."""
    shutil.copytree(trained[0].data_dir.parent, tmp_path / "own")
    return Layout(tmp_path / "own" / "data")


@pytest.fixture(scope="session")
def made(trained: tuple[Layout, Trained], tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Published]:
    """Another copy, with the forecasts of the model."""
    root = tmp_path_factory.mktemp("forecast") / "own"
    shutil.copytree(trained[0].data_dir.parent, root)
    layout = Layout(root / "data")
    return layout, forecast(layout)
