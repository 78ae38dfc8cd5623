"""The search as Dagster has it: a job of its own that no refresh does."""

from pathlib import Path

import dagster as dg
import pytest

from stock_assets.definitions import defs
from stock_assets.defs.running import run_full_refresh
from stock_assets.errors import UserError
from tests.conftest import Built
from tests.defs.graph_runs import failures, metadata, records
from tests.helpers import demo_settings, in_force
from tests.promoted_model import copy_market

pytestmark = pytest.mark.slow

ASSETS = {"volume_model_parameters", "next_day_model_parameters"}


def search_in(data_dir: Path, *assets: str) -> dg.ExecuteInProcessResult:
    with in_force(demo_settings(data_dir, search_trials=2)), dg.DagsterInstance.ephemeral() as instance:
        return defs.resolve_job_def("parameter_search").execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(name) for name in assets], raise_on_error=False
        )


def keys_of(job: str) -> set[str]:
    nodes = defs.resolve_job_def(job).asset_layer.selected_asset_keys
    return {key.to_user_string() for key in nodes}


def test_only_its_own_job_has_it() -> None:
    assert keys_of("parameter_search") == ASSETS
    assert keys_of("full_refresh") >= {"features", "volume_model"}
    assert not keys_of("full_refresh") & ASSETS


def test_a_refresh_cannot_select_it() -> None:
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(UserError, match="selects none of the assets"):
        run_full_refresh(instance, defs, None, "volume_model_parameters", lambda *_: None)


def test_a_run_tells_of_its_trials(demo_market: Built, tmp_path: Path) -> None:
    layout = copy_market(demo_market.layout, tmp_path / "data")
    result = search_in(layout.data_dir, "volume_model_parameters")
    values = metadata(result, "volume_model_parameters")
    table = records(values["best 10"])

    assert result.success
    assert (values["trials"], values["trials of this run"]) == (2, 2)
    assert sorted(row["trial"] for row in table) == [1, 2]
    assert [row["mae"] for row in table] == sorted(row["mae"] for row in table)
    assert values["mae on validation"] == table[0]["mae"]
    assert values["gain"] == pytest.approx(1 - table[0]["mae"] / values["mae of the parameters in use"])
    assert values["promoted"] == layout.parameters("volume_model").exists()
    assert '"event": "step", "asset": "volume_model_parameters"' in layout.log.read_text("utf-8")


def test_a_failure_is_one_line(demo_market: Built, tmp_path: Path) -> None:
    layout = copy_market(demo_market.layout, tmp_path / "data")
    path = layout.parameters("volume_model")
    path.parent.mkdir(parents=True)
    path.write_text("{}", "utf-8")

    said = failures(search_in(layout.data_dir, "volume_model_parameters"))
    assert said == {
        "volume_model_parameters": f"{path} cannot be used: it has no parameters; "
        "remove it to go back to the model's own parameters"
    }
