"""The whole path on real price files."""

import csv
from pathlib import Path

import pytest

from stock_assets import registry
from tests.helpers import folder_settings, row_balance, stock_assets

pytestmark = pytest.mark.slow


def test_real_prices_are_kept_to_the_last_row_and_give_a_model_with_skill(real_prices: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    process = stock_assets("run", variables=folder_settings(data_dir, real_prices), cwd=tmp_path)
    assert (process.returncode, process.stderr) == (0, "")
    read, kept, quarantined = row_balance(data_dir / "market.duckdb")
    assert read == kept + quarantined == sum(_rows(path) for path in real_prices.glob("*/*.csv"))
    models = data_dir / "models" / "volume_model"
    pointer = registry.read_pointer(models)
    assert pointer is not None
    assert registry.read_manifest(models, pointer.path)["metrics"]["skill"]["vol_moving_avg"] > 0


def _rows(path: Path) -> int:
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for row in csv.reader(file) if row) - 1
