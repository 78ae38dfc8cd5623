"""The rows that workers read themselves are those that the local engine trains on, and work is shared out evenly."""

import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stock_assets.engines.engine import open_engine
from stock_assets.engines.training import _shared_out
from stock_assets.errors import UserError
from stock_assets.learning import rows as learning_rows
from stock_assets.learning.rows import Windows, fitting_windows
from stock_assets.learning.split import split_by_date
from stock_assets.learning.training import LogRatioPart, log_ratios, volumes
from stock_assets.retraining import feature_files
from stock_assets.settings import Settings
from stock_assets.volume_candidates import read_rows
from tests.conftest import Built, open_database


@pytest.fixture(params=[1_000_000, 1000, 700])
def windows(demo_market: Built, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Windows:
    """Windows of all rows, and of every so manyth."""
    monkeypatch.setattr(learning_rows, "MAX_ROWS", request.param)
    with open_database(demo_market.layout) as connection:
        files = feature_files(connection, demo_market.layout)
        found = read_rows(connection, files)
    return fitting_windows(found, split_by_date(found.days, 0.7, 0.15), files)


@pytest.mark.parametrize("window", ["training", "validation"])
def test_parts_are_the_rows_of_their_window(demo_market: Built, windows: Windows, window: str) -> None:
    whole, places = getattr(windows, window), getattr(windows, f"{window}_places")
    with open_database(demo_market.layout) as connection:
        for expected in (log_ratios(whole.traded(window), places), volumes(whole, places)):
            read = [part.read(connection, part.path) for part in expected.parts]
            np.testing.assert_array_equal(np.concatenate([part.inputs for part in read]), expected.inputs)
            np.testing.assert_array_equal(np.concatenate([part.label for part in read]), expected.label)
    assert sum(place.rows for place in places) == len(whole.days)
    assert len(places) > 10


def test_parts_are_shared_out_by_rows() -> None:
    parts = [(str(rows), LogRatioPart(Path(), "", "", 0, 1, rows)) for rows in (5, 900, 300, 310, 290, 10)]
    heaps = _shared_out(parts, 2)

    assert sorted(sum(part.rows for _, part in heap) for heap in heaps) == [905, 910]
    assert sorted(name for heap in heaps for name, _ in heap) == sorted(name for name, _ in parts)
    assert len(_shared_out(parts[:1], 2)) == 1


def test_without_dask_the_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("stock_assets.engines.")]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def refuse(name: str, *others: Any) -> Any:
        if name.partition(".")[0] in {"dask", "distributed"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *others)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with (
        pytest.raises(
            UserError, match=r"^STOCK_ASSETS_ENGINE=dask needs Dask.*: pip install .*requirements-server\.lock$"
        ),
        open_engine(Settings(engine="dask"), print),
    ):
        pass
