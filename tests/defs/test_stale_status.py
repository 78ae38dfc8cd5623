"""What the UI says of being stale is true: it follows the data, not the clock."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from stock_assets.definitions import defs
from stock_assets.defs.running import run_full_refresh
from tests.helpers import folder_settings, in_force, write_demo

CANDIDATE = "volume_candidates/lightgbm_log_ratio"


def status(instance: dg.DagsterInstance) -> dict[str, str]:
    """What the UI shows of each asset that a refresh makes; of those by letter at one letter."""
    graph = defs.resolve_asset_graph()
    refreshed = defs.resolve_job_def("full_refresh").asset_layer.executable_asset_keys
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return {
        key.to_user_string(): resolver.get_status(key, "A" if graph.get(key).is_partitioned else None).value
        for key in refreshed
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_demo(tmp_path / "market", seed=3)


@pytest.mark.slow
def test_assets_are_stale_when_the_files_before_them_changed_and_only_then(root: Path, tmp_path: Path) -> None:
    def run(select: str | None, letters: tuple[str, str] | None = None) -> dict[str, str]:
        assert run_full_refresh(instance, defs, letters, select, lambda *_: None).error is None
        return status(instance)

    with in_force(folder_settings(tmp_path / "data", root)), dg.DagsterInstance.ephemeral() as instance:
        assert set(status(instance).values()) == {"MISSING"}
        fresh = run(None)
        assert set(fresh.values()) == {"FRESH"}

        file = next(root.glob("stocks/A*.csv"))
        file.touch()
        assert run("raw_files") == fresh
        assert run("features", ("C", "F")) == fresh

        file.write_text("\n".join(file.read_text("utf-8").splitlines()[:-1]) + "\n", "utf-8")
        assert run("raw_files")["combined"] == "STALE"
        assert (run("combined")["combined"], status(instance)["features"]) == ("FRESH", "STALE")
        assert (run("features")["features"], status(instance)[CANDIDATE]) == ("FRESH", "STALE")
        assert (run("key:volume_candidates/*")[CANDIDATE], status(instance)["volume_model"]) == ("FRESH", "STALE")
        assert run(None) == fresh
