"""The search for hyper-parameters: what it may see, how it goes on, what it promotes, and who uses that."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from stock_assets.engines.local import LocalEngine
from stock_assets.errors import UserError
from stock_assets.experiments import read_experiments
from stock_assets.features import update_features
from stock_assets.found_parameters import found_parameters
from stock_assets.layout import LETTERS, Layout
from stock_assets.learning.next_day import PARAMETERS
from stock_assets.learning.search_space import SPACES
from stock_assets.learning.split import split_by_date
from stock_assets.learning.training import LOG_RATIO
from stock_assets.next_day.data import method as next_day_method
from stock_assets.next_day.model import make_next_day_model
from stock_assets.provenance import read_made_from, stale_letters
from stock_assets.publishing import staging
from stock_assets.search import OWN_PARAMETERS, Found, search
from stock_assets.search_study import Trial
from stock_assets.settings import Settings
from stock_assets.statements import run
from tests.conftest import Built, open_database
from tests.helpers import demo_settings, stock_assets_here
from tests.promoted_model import copy_market
from tests.published_features import make_only_candidates

pytestmark = pytest.mark.slow

VOLUME, NEXT_DAY = "volume_model", "next_day_model"
INPUT_OF = {
    VOLUME: ("features", "vol_moving_avg IS NOT NULL", "vol_moving_avg"),
    NEXT_DAY: ("next_day_features", "history >= 30", "log_mean_20"),
}
"""The table of a model, which of its rows are used, and one of its inputs."""
OTHERS = {"learning_rate": 0.02, "num_leaves": 3, "min_data_in_leaf": 5000}
"""Parameters of the volume model that are not its own."""


def silent(_: str) -> None:
    pass


@pytest.fixture
def market(demo_market: Built, tmp_path: Path) -> Layout:
    return copy_market(demo_market.layout, tmp_path / "data")


@pytest.fixture(scope="module")
def next_day_market(demo_market: Built, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The demo market with the features of the next day as well."""
    layout = copy_market(demo_market.layout, tmp_path_factory.mktemp("search") / "data")
    with open_database(layout) as connection, staging() as stage:
        run(connection, "next_day/create_features")
        stale = stale_letters(connection, layout, "next_day_features", LETTERS)
        copies = {letter: stage(layout.parquet("next_day_features", letter)) for letter in stale}
        update_features(connection, LETTERS, stale, copies, LocalEngine(1, silent))
    return layout


@pytest.fixture
def next_day(next_day_market: Layout, tmp_path: Path) -> Layout:
    return Layout(Path(shutil.copytree(next_day_market.data_dir, tmp_path / "data")))


def search_in(layout: Layout, model: str, trials: int) -> Found:
    settings = Settings(data_dir=layout.data_dir, threads=1, search_trials=trials)
    return search(settings, model, lambda: open_database(layout), "a-run", silent)


def use(layout: Layout, model: str, parameters: Any) -> None:
    path = layout.parameters(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"parameters": parameters}), "utf-8")


def use_the_worst(layout: Layout, model: str, trials: int) -> Found:
    """What a search finds; then the worst of its trials is in use, so that the next search has a better one."""
    found = search_in(layout, model, trials)
    worst = max(found.trials, key=lambda trial: trial.mae)
    assert worst.mae > found.best.mae
    use(layout, model, worst.parameters)
    return found


def content(layout: Layout, model: str) -> Any:
    return json.loads(layout.parameters(model).read_bytes())


def change_test_window(layout: Layout, table: str, having: str, column: str) -> None:
    """Other volumes and another input on the days of the test window; the files say that they are made of the same."""
    files = str(layout.data_dir / "lake" / table / "*/part-0.parquet")
    with duckdb.connect() as connection:
        days = connection.execute(f'SELECT "Date" FROM read_parquet(?) WHERE {having}', [files]).fetchnumpy()["Date"]
        test_from = str(split_by_date(days.astype("datetime64[D]"), 0.7, 0.15).test_from)
        for path in layout.data_dir.glob(f"lake/{table}/*/part-0.parquet"):
            copy = path.with_name("copy.parquet")
            connection.execute(
                f"""COPY (
                    SELECT * REPLACE (
                        CASE WHEN "Date" < $day THEN "Volume" ELSE 3 * "Volume" + 1 END AS "Volume",
                        CASE WHEN "Date" < $day OR {column} IS NULL THEN {column} ELSE 7 END AS {column})
                    FROM read_parquet($path, hive_partitioning = false)
                ) TO $copy (FORMAT parquet, KV_METADATA {{made_from: $made_from}})""",
                {
                    "day": test_from,
                    "path": str(path),
                    "copy": str(copy),
                    "made_from": read_made_from(connection, path),
                },
            )
            copy.replace(path)


@pytest.mark.parametrize("model", SPACES)
def test_own_parameters_are_in_the_space(model: str) -> None:
    space = SPACES[model]

    assert {name: bounds.fault_of(OWN_PARAMETERS[model][name]) for name, bounds in space.items()} == dict.fromkeys(
        space
    )


def test_better_parameters_are_used_by_the_next_training(market: Layout) -> None:
    worst = max(use_the_worst(market, VOLUME, 3).trials, key=lambda trial: trial.mae)
    before = make_only_candidates(market, ["lightgbm_log_ratio"])["lightgbm_log_ratio"]
    found = search_in(market, VOLUME, 3)
    after = make_only_candidates(market, ["lightgbm_log_ratio"])["lightgbm_log_ratio"]

    assert found.promoted
    assert found.gain == pytest.approx(1 - found.best.mae / found.in_use.mae)
    assert found.best.mae == min(trial.mae for trial in found.trials) < found.in_use.mae
    assert before.manifest["parameters"].items() >= worst.parameters.items()
    assert after.kept is None, "other parameters are another method"
    assert after.manifest["parameters"].items() >= found.best.parameters.items()
    said = content(market, VOLUME)
    assert said.pop("found_at")
    assert said == {
        "parameters": found.best.parameters,
        "validation_mae": found.best.mae,
        "in_use_before": worst.parameters,
        "validation_mae_before": worst.mae,
        "study": found.study,
        "trials": 3,
        "data_fingerprint": after.manifest["data"]["fingerprint"],
    }


def test_removing_the_file_goes_back(market: Layout) -> None:
    own = make_only_candidates(market, ["lightgbm_log_ratio"])["lightgbm_log_ratio"].manifest
    use(market, VOLUME, OTHERS)
    other = make_only_candidates(market, ["lightgbm_log_ratio"])["lightgbm_log_ratio"].manifest
    market.parameters(VOLUME).unlink()
    again = make_only_candidates(market, ["lightgbm_log_ratio"])["lightgbm_log_ratio"].manifest

    assert again["files"]["model.txt"] == own["files"]["model.txt"] != other["files"]["model.txt"]
    assert again["method"] == own["method"] != other["method"]


def test_what_is_not_better_changes_nothing(market: Layout) -> None:
    found = search_in(market, VOLUME, 1)

    assert (found.promoted, found.gain, found.best) == (False, 0, found.in_use)
    assert found.verdict.startswith("not promoted: no trial of 1 errs less on validation than")
    assert not market.parameters(VOLUME).exists()


def test_a_search_goes_on_and_knows_what_it_promoted(market: Layout) -> None:
    use_the_worst(market, VOLUME, 3)
    first = search_in(market, VOLUME, 3)
    promoted = content(market, VOLUME)
    again = search_in(market, VOLUME, 3)
    more = search_in(market, VOLUME, 4)

    assert (first.new, again.new, more.new) == (0, 0, 1)
    assert (first.promoted, again.promoted) == (True, False)
    assert more.study == again.study == first.study
    assert more.trials[:3] == again.trials == first.trials
    assert more.in_use == again.in_use == first.best
    assert (content(market, VOLUME) == promoted) == (not more.promoted)


def test_each_search_is_an_experiment(market: Layout) -> None:
    use_the_worst(market, VOLUME, 2)
    found = search_in(market, VOLUME, 2)
    search_in(market, VOLUME, 1)
    last, first, _ = read_experiments(Settings(data_dir=market.data_dir), f"parameter_search/{VOLUME}")

    assert (first.parameters, first.promoted, first.reason) == (found.best.parameters, True, found.verdict)
    assert first.metrics["validation"]["mae"] == found.best.mae
    assert first.metrics["validation_in_use"]["mae"] == found.in_use.mae
    assert "test" not in first.metrics
    assert (last.promoted, first.run_id) == (False, "a-run")


def test_what_cannot_be_recorded_is_not_promoted(market: Layout) -> None:
    use_the_worst(market, VOLUME, 2)
    before = content(market, VOLUME)
    market.experiments.write_bytes(b"no database, " * 100)

    with pytest.raises(UserError, match=r"experiments\.db cannot be used"):
        search_in(market, VOLUME, 2)
    assert content(market, VOLUME) == before


@pytest.mark.parametrize(("model", "trials"), [(VOLUME, 2), (NEXT_DAY, 1)])
def test_it_does_not_see_the_test_window(next_day: Layout, model: str, trials: int) -> None:
    here = search_in(next_day, model, trials)
    next_day.search.unlink()
    next_day.parameters(model).unlink(missing_ok=True)
    change_test_window(next_day, *INPUT_OF[model])
    there = search_in(next_day, model, trials)

    assert there == here
    assert there.new == trials


def test_the_next_day_model_uses_what_was_found(next_day: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=next_day.data_dir, threads=1)
    before = next_day_method(settings)
    found = use_the_worst(next_day, NEXT_DAY, 2)
    promoted = search_in(next_day, NEXT_DAY, 2)

    def train(_source: object, _split: object, parameters: Mapping[str, Any], *_: object) -> None:
        assert parameters == PARAMETERS | found.best.parameters
        raise KeyboardInterrupt

    monkeypatch.setattr("stock_assets.next_day.model.train", train)
    with open_database(next_day) as connection, pytest.raises(KeyboardInterrupt):
        make_next_day_model(connection, settings, "an/asset", "a-run", silent)
    assert (promoted.promoted, promoted.new, promoted.best) == (True, 0, found.best)
    assert next_day_method(settings) != before


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("{", "cannot be read: "),
        ("[]", "it has no parameters"),
        ('{"parameters": 1}', "it has no parameters"),
        (OTHERS | {"machines": "10.0.0.1"}, "machines cannot be set, only learning_rate, num_leaves"),
        (OTHERS | {"objective": 1}, "objective cannot be set"),
        ({"learning_rate": 0.1, "num_leaves": 7}, "min_data_in_leaf is missing"),
        (OTHERS | {"num_leaves": 1_000_000}, "num_leaves is 1000000, not between 3 and 63"),
        (OTHERS | {"num_leaves": 7.5}, "num_leaves is 7.5, not a whole number"),
        (OTHERS | {"num_leaves": True}, "num_leaves is True, not a whole number"),
        (OTHERS | {"learning_rate": "0.1"}, "learning_rate is '0.1', not a number"),
        ('{"parameters": {"learning_rate": NaN, "num_leaves": 7, "min_data_in_leaf": 20}}', "learning_rate is nan"),
    ],
)
def test_a_broken_file_is_refused_by_name(market: Layout, said: Any, fault: str) -> None:
    use(market, VOLUME, said)
    path = market.parameters(VOLUME)
    if isinstance(said, str):
        path.write_text(said, "utf-8")

    for reader in (lambda: found_parameters(market, VOLUME), lambda: make_only_candidates(market, ["log_log"])):
        with pytest.raises(UserError) as failure:
            reader()
        assert fault in str(failure.value)
        assert str(failure.value).startswith(str(path))
        assert "\n" not in str(failure.value)
    with pytest.raises(UserError, match="remove it to go back"):
        search_in(market, VOLUME, 1)


def test_one_search_at_a_time(market: Layout) -> None:
    refused = []

    def another(line: str) -> None:
        if line.startswith("trial"):
            with pytest.raises(UserError, match=r"another search holds .*search\.lock"):
                search_in(market, VOLUME, 1)
            refused.append(line)

    settings = Settings(data_dir=market.data_dir, threads=1, search_trials=1)
    assert search(settings, VOLUME, lambda: open_database(market), "a-run", another).new == len(refused) == 1


def test_a_refresh_need_not_wait_for_the_trials(market: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []

    def look(*_: object) -> list[Trial]:
        held.append(is_held(market))
        trial = {name: LOG_RATIO[name] for name in SPACES[VOLUME]}
        return [Trial(trial, 1.0, 1)]

    monkeypatch.setattr("stock_assets.search.run_trials", look)
    search_in(market, VOLUME, 1)
    assert held == [False]


def is_held(layout: Layout) -> bool:
    """Whether another process would have to wait for the data folder."""
    statement = f"from filelock import FileLock; FileLock({str(layout.lock)!r}, timeout=0).acquire()"
    return subprocess.run([sys.executable, "-c", statement], capture_output=True, check=False).returncode != 0


def test_the_command_line_tells_of_each_trial(market: Layout) -> None:
    variables = demo_settings(market.data_dir)
    done = stock_assets_here("models", "search", VOLUME, "--trials", "2", variables=variables)
    unknown = stock_assets_here("models", "search", "no_model", variables=variables)
    market.database.unlink()
    nothing = stock_assets_here("models", "search", VOLUME, variables=variables)

    assert (done.returncode, done.stderr) == (0, "")
    first, second, verdict = done.stdout.splitlines()
    assert first.startswith("trial 1 of 2: MAE ")
    assert second.startswith("trial 2 of 2: MAE ")
    assert "promoted: " in verdict
    assert unknown.stderr == (
        "stock-assets: no_model: there is no search for it, only for volume_model, next_day_model\n"
    )
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "market.duckdb is missing: run the pipeline first" in nothing.stderr
