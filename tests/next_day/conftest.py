"""One market and its model, made once; tests only read them."""

import pytest

from stock_assets.layout import Layout
from stock_assets.versions import Trained
from tests.next_day.markets import build, make, quicken, usual_market


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
