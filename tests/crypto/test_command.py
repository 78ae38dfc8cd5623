"""`stock-assets run --select` of crypto assets: their own job, which a refresh of the market leaves alone."""

from pathlib import Path

import dagster as dg
import pytest

from stock_assets.definitions import defs
from stock_assets.defs.running import run_full_refresh
from stock_assets.errors import UserError
from tests.crypto.conftest import lines_of, walk, write
from tests.helpers import stock_assets_here

ASSETS = {"crypto_prices", "crypto_features", "next_price_model", "next_price_predictions"}


def test_the_market_and_crypto_assets_have_a_job_each() -> None:
    crypto, market = (
        {key.to_user_string() for key in defs.resolve_job_def(job).asset_layer.selected_asset_keys}
        for job in ("crypto_refresh", "full_refresh")
    )

    assert crypto == ASSETS
    assert not market & ASSETS


def test_one_command_makes_the_whole_graph_and_tells_of_it(tmp_path: Path) -> None:
    path = write(tmp_path / "ada.csv", [*lines_of(walk(600, 1)), "2021-09-01,dear,1,1"])
    variables = {
        "STOCK_ASSETS_DATA_DIR": str(tmp_path / "data"),
        "STOCK_ASSETS_CRYPTO_PATH": str(path),
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    done = stock_assets_here("run", "--select", "crypto_prices*", variables=variables)
    told = {line.split("│")[1].strip(): line.split("│")[2].strip() for line in done.stdout.splitlines() if "│" in line}

    assert done.returncode == 0, done.stderr
    assert (told["crypto files"], told["rows read"], told["rows kept"], told["rows quarantined"]) == (
        "1 (0 quarantined)", "601", "600", "1",
    )  # fmt: skip
    assert {"next-price model", "its skill against random_walk", "it tells the direction of"} <= told.keys()
    assert (tmp_path / "data/lake/next_price_predictions/part-0.parquet").exists()


def test_assets_of_both_jobs_cannot_be_selected_at_once() -> None:
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(UserError, match=r"--select \*: the market and the crypto assets are two runs"),
    ):
        run_full_refresh(instance, defs, None, "*", lambda *_: None)
