"""The trials of a search in their database: the same ones however often it was stopped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from stock_assets.errors import UserError
from stock_assets.learning.search_objective import Measured
from stock_assets.learning.search_space import Range
from stock_assets.search_study import Plan, Trial, run_trials

SPACE = {"x": Range(0.0, 1.0), "n": Range(1, 100, log=True)}


def bowl(parameters: Mapping[str, Any]) -> Measured:
    """An error that is smallest at x = 0.3 and n = 10."""
    return Measured(1000 + (parameters["x"] - 0.3) ** 2 + np.log(parameters["n"] / 10) ** 2, parameters["n"])


def plan(trials: int, study: str = "a-study", **in_use: Any) -> Plan:
    return Plan(study, SPACE, {"x": 1.0, "n": 100} | in_use, trials)


def silent(_: str) -> None:
    pass


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    told: list[str] = []
    three = run_trials(tmp_path / "a.db", plan(3), bowl, silent)
    five = run_trials(tmp_path / "a.db", plan(5), bowl, told.append)
    at_once = run_trials(tmp_path / "b.db", plan(5), bowl, silent)

    assert (len(three), len(five)) == (3, 5)
    assert five[:3] == three
    assert five == at_once
    assert [line.partition(":")[0] for line in told] == [
        "trials of a-study that are there already", "trial 4 of 5", "trial 5 of 5",
    ]  # fmt: skip
    assert len({str(trial.parameters) for trial in five}) == 5
    assert all(bounds.fault_of(trial.parameters[name]) is None for trial in five for name, bounds in SPACE.items())


def test_a_search_that_has_its_trials_makes_none(tmp_path: Path) -> None:
    three = run_trials(tmp_path / "a.db", plan(3), bowl, silent)

    assert run_trials(tmp_path / "a.db", plan(2), lambda _: pytest.fail("a trial"), silent) == three


def test_a_kill_loses_the_trial_that_was_under_way_and_no_other(tmp_path: Path) -> None:
    path, begun = tmp_path / "a.db", 0

    def killed_in_the_third(parameters: Mapping[str, Any]) -> Measured:
        nonlocal begun
        begun += 1
        if begun == 3:
            raise KeyboardInterrupt
        return bowl(parameters)

    with pytest.raises(KeyboardInterrupt):
        run_trials(path, plan(4), killed_in_the_third, silent)

    assert states(path) == ["COMPLETE", "COMPLETE", "RUNNING"]
    four = run_trials(path, plan(4), bowl, silent)
    assert states(path) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert four == run_trials(tmp_path / "b.db", plan(4), bowl, silent)


def states(path: Path) -> list[str]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    found = [trial.state.name for trial in optuna.load_study(study_name="a-study", storage=storage).trials]
    storage.engine.dispose()
    return found


def test_the_parameters_in_use_are_always_measured(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    first = run_trials(path, plan(2), bowl, silent)
    others = run_trials(path, plan(2, x=0.5), bowl, silent)

    assert first[0].parameters == {"x": 1.0, "n": 100}
    assert others == [*first, Trial({"x": 0.5, "n": 100}, *bowl({"x": 0.5, "n": 100}))]


def test_studies_are_not_mixed(tmp_path: Path) -> None:
    run_trials(tmp_path / "a.db", plan(3), bowl, silent)

    assert len(run_trials(tmp_path / "a.db", plan(1, study="another"), bowl, silent)) == 1


def test_a_broken_database_of_trials_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "{a}.db").write_bytes(b"no database, " * 100)

    with pytest.raises(UserError, match=r"\{a\}\.db cannot be used: .*not a database.*remove the file"):
        run_trials(tmp_path / "{a}.db", plan(1), bowl, silent)
