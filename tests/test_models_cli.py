"""`stock-assets models`: what is listed, compared, promoted and rolled back, and what the table then says."""

import json
from pathlib import Path
from typing import Any

import pytest

from serving.store import ModelStore
from stock_assets.experiments import read_experiments
from stock_assets.registry import promote, publish_version, read_pointer
from stock_assets.settings import Settings
from tests.helpers import demo_settings, stock_assets_here
from tests.serving.conftest import publish, sound_facts, train

MODEL = "volume_model"


class Lab:
    """A data folder with versions of a model, and the command line on it."""

    def __init__(self, data_dir: Path) -> None:
        self.settings = Settings(data_dir=data_dir)
        self.folder = data_dir / "models" / MODEL

    def publish(self, skill: float | None = 0.04, mae: float = 400_000.0, **facts: Any) -> str:
        def write(place: Path) -> dict[str, Any]:
            (place / "model.txt").write_text(f"tree {mae}", "utf-8")
            return manifest

        manifest: dict[str, Any] = {
            "run_id": "trained-by",
            "candidate": "lightgbm_log_ratio",
            "baseline": "vol_moving_avg",
            "parameters": {"num_leaves": 15, "seed": 7},
            "data": {"fingerprint": "d332b529" + "0" * 56, "rows": 551_395},
            "method": "m",
            "metrics": {
                "test": {"rows": 79_972, "from": "2017-11-02", "to": "2021-01-27", "mae": mae, "median_ape": 0.371},
                "skill": {} if skill is None else {"vol_moving_avg": skill},
            },
        }
        return publish_version(self.folder, lambda place: write(place) | facts)[0]

    def serve(self, version: str) -> str:
        promote(self.folder, version, MODEL, "a-run")
        return version

    def run(self, *arguments: str) -> tuple[int, str, str]:
        variables = demo_settings(self.settings.data_dir) | {"COLUMNS": "100"}
        done = stock_assets_here("models", *arguments, variables=variables)
        return done.returncode, done.stdout, done.stderr

    def json(self, *arguments: str) -> Any:
        code, printed, said = self.run(*arguments, "--json")
        assert (code, said) == (0, "")
        return json.loads(printed)

    @property
    def served(self) -> str:
        pointer = read_pointer(self.folder)
        assert pointer is not None
        return pointer.version

    @property
    def recorded(self) -> list[tuple[str, str, bool]]:
        return [(one.version, one.reason, one.promoted) for one in read_experiments(self.settings)]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "data")


def test_versions_are_listed_newest_first(lab: Lab) -> None:
    old, new = lab.serve(lab.publish()), lab.publish(skill=-0.0123, mae=412_345.6)
    code, printed, said = lab.run("list")

    assert (code, said) == (0, "")
    assert max(map(len, printed.splitlines())) <= 100
    assert printed.index(new) < printed.index(old)
    (first,) = [line for line in printed.splitlines() if new in line]
    assert first.split() == [new, "lightgbm_log_ratio", "551,395", "rows", "412,346", "37.1%", "-1.23%"]
    assert [line.split()[-1] == "served" for line in printed.splitlines() if old in line] == [True]


def test_the_list_is_json_for_programs(lab: Lab) -> None:
    old, new = lab.serve(lab.publish()), lab.publish(skill=None)

    listed = lab.json("list", MODEL)
    assert [(one["version"], one["served"], one["skill"]) for one in listed] == [(new, False, None), (old, True, 0.04)]
    assert (listed[0]["mae"], listed[0]["rows"], listed[0]["model"]) == (400_000.0, 551_395, MODEL)


def test_a_damaged_version_is_listed_as_such(lab: Lab) -> None:
    version = lab.publish()
    (lab.folder / version / "model.txt").write_text("other", "utf-8")

    assert "it was changed" in lab.json("list")[0]["fault"]
    assert "damaged" in lab.run("list")[1]


def test_without_models_nothing_is_listed(lab: Lab) -> None:
    assert lab.json("list") == []


@pytest.mark.parametrize("arguments", [("list", "x"), ("promote", "../x", "v"), ("rollback", "x")])
def test_a_model_that_is_not_there_is_told_with_those_that_are(lab: Lab, arguments: tuple[str, ...]) -> None:
    lab.publish()
    code, _, said = lab.run(*arguments)

    assert code == 1
    assert said.startswith(f"stock-assets: {arguments[1]}: no such model")
    assert said.endswith(f"there are {MODEL}\n")


def test_promoting_by_hand(lab: Lab) -> None:
    old, new = lab.serve(lab.publish()), lab.publish()
    code, printed, said = lab.run("promote", MODEL, new)

    assert (code, said) == (0, "")
    assert printed == f"{MODEL}: {new} is served, before it {old}\n"
    assert lab.served == new
    assert lab.recorded == [(new, "promoted by hand", True)]
    pointer = read_pointer(lab.folder)
    assert pointer is not None
    assert (pointer.history, pointer.asset_key, pointer.run_id) == ((old,), MODEL, "trained-by")


@pytest.mark.parametrize("skill", [None, 0.0, -0.1])
def test_a_version_without_skill_needs_force(lab: Lab, skill: float | None) -> None:
    old, new = lab.serve(lab.publish()), lab.publish(skill=skill)
    code, _, said = lab.run("promote", MODEL, new)

    assert code == 1
    assert said.startswith(f"stock-assets: {new} is not promoted: its ")
    assert "--force" in said
    assert (lab.served, lab.recorded) == (old, [])
    assert lab.run("promote", MODEL, new, "--force")[0] == 0
    assert (lab.served, len(lab.recorded)) == (new, 1)


def test_a_version_is_held_against_its_hash_before_it_is_promoted(lab: Lab) -> None:
    old, new = lab.serve(lab.publish()), lab.publish()
    (lab.folder / new / "model.txt").write_text("other", "utf-8")

    code, _, said = lab.run("promote", MODEL, new, "--force")
    assert (code, lab.served, lab.recorded) == (1, old, [])
    assert "it was changed; stock-assets models list" in said
    assert said.count("\n") == 1
    assert lab.run("promote", MODEL, "../" + MODEL, "--force")[0] == 1


def test_a_rollback_by_hand(lab: Lab) -> None:
    old, new = lab.serve(lab.publish()), lab.serve(lab.publish())
    code, printed, said = lab.run("rollback", MODEL)

    assert (code, said) == (0, "")
    assert printed == f"{MODEL}: {old} is served again, in place of {new}\n"
    assert (lab.served, lab.recorded) == (old, [(old, f"rolled back from {new}", True)])

    code, _, said = lab.run("rollback", MODEL)
    assert (code, lab.served, len(lab.recorded)) == (1, old, 1)
    assert said.startswith(f"stock-assets: {old} has no version before it to go back to; stock-assets models promote")


def test_a_rollback_tells_what_it_skips(lab: Lab) -> None:
    old, broken, new = (lab.serve(lab.publish()) for _ in range(3))
    (lab.folder / broken / "model.txt").unlink()
    _, printed, _ = lab.run("rollback", MODEL)

    assert printed.splitlines()[0].startswith(f"{MODEL}: {broken} is skipped: ")
    assert lab.served == old
    assert lab.recorded == [(old, f"rolled back from {new}", True)]


def test_a_rollback_that_cannot_be_recorded_happens_and_is_told(lab: Lab) -> None:
    old, _ = lab.serve(lab.publish()), lab.serve(lab.publish())
    (lab.settings.data_dir / "experiments.db").write_text("no database " * 100, "utf-8")
    code, _, said = lab.run("rollback", MODEL)

    assert (code, lab.served) == (1, old)
    assert said.startswith(f"stock-assets: {old} is promoted, but that was not recorded: ")


def test_the_service_follows_a_rollback(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "data")
    boosters = [train(level) for level in (0.0, 1.0)]
    texts = [booster.model_to_string() for booster in boosters]
    facts = [sound_facts(booster) | {"target": "log_ratio"} for booster in boosters]
    old, new = (lab.serve(publish(lab.folder, *one)) for one in zip(texts, facts, strict=True))
    store = ModelStore(lab.folder)
    store.refresh()
    assert store.model is not None
    assert (store.model.version, store.problem) == (new, None)

    assert lab.run("rollback", MODEL)[0] == 0
    store.refresh()
    assert (store.model.version, store.problem) == (old, None)


def test_two_versions_side_by_side(lab: Lab) -> None:
    a, b = lab.publish(), lab.publish(mae=5.0, parameters={"num_leaves": 31, "seed": 7, "extra": [1, 2]})
    found = lab.json("compare", a, b)

    assert (found["versions"], found["same_test_rows"], found["test_rows"]) == ([a, b], True, "yes")
    assert found["metrics"]["mae"] == [400_000.0, 5.0]
    assert found["metrics"]["skill against vol_moving_avg"] == [0.04, 0.04]
    assert found["parameters"] == {"num_leaves": [15, 31], "extra": [None, [1, 2]]}
    code, printed, said = lab.run("compare", a, b)
    assert (code, said) == (0, "")
    assert max(map(len, printed.splitlines())) <= 100
    assert "measured on the same test rows: yes" in printed
    assert "400,000" in printed


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"data": {"fingerprint": "x"}}, "no, the same window but of other data"),
        (
            {"metrics": {"test": {"rows": 5, "from": "2018-01-02", "to": "2021-01-27", "mae": 1.0}}},
            "no, 79972 rows from 2017-11-02 to 2021-01-27 and 5 rows from 2018-01-02 to 2021-01-27",
        ),
    ],
)
def test_other_test_rows_are_told(lab: Lab, other: dict[str, Any], told: str) -> None:
    found = lab.json("compare", lab.publish(), lab.publish(**other))

    assert (found["same_test_rows"], found["test_rows"]) == (False, told)


def test_an_experiment_can_be_compared_by_its_number_and_without_its_files(lab: Lab) -> None:
    version = lab.publish()
    lab.run("promote", MODEL, version)
    (lab.folder / version).rename(lab.folder / "elsewhere")

    assert lab.json("compare", "1", version)["versions"] == [version, version]
    code, _, said = lab.run("compare", "1", "2")
    assert (code, said.startswith("stock-assets: 2: no such version or experiment")) == (1, True)


def test_experiments_are_listed(lab: Lab) -> None:
    versions = [lab.publish(skill=0.01) for _ in range(2)]
    for version in versions:
        lab.run("promote", MODEL, version)

    assert [one["version"] for one in lab.json("experiments")] == versions[::-1]
    assert len(lab.json("experiments", MODEL, "--limit", "1")) == 1
    assert lab.json("experiments", "other") == []
    _, printed, _ = lab.run("experiments")
    assert max(map(len, printed.splitlines())) <= 100
    assert all(version in printed for version in versions)
    assert printed.count("promoted by hand") == 2


@pytest.mark.slow
def test_a_run_keeps_what_was_rolled_back_to(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "data")
    variables = demo_settings(tmp_path / "data")
    for share in (0.7, 0.6, 0.6):
        done = stock_assets_here("run", variables=variables | {"STOCK_ASSETS_TRAIN_SHARE": str(share)})
        assert done.returncode == 0, done.stderr
    old, new = (one["version"] for one in reversed(lab.json("list", MODEL)))
    assert lab.served == new
    assert lab.run("rollback", MODEL)[0] == 0

    done = stock_assets_here("run", variables=variables | {"STOCK_ASSETS_TRAIN_SHARE": "0.6"})
    assert done.returncode == 0, done.stderr
    assert lab.served == old
    assert len(lab.json("list", MODEL)) == 2
