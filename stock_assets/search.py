"""The search for hyper-parameters: on validation only, and what it finds is used by the next training if it is better.

The rows are read, and the result is published, while the data folder is held; the trials between need neither it nor
the database, so that a refresh need not wait for them.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from duckdb import DuckDBPyConnection
from filelock import FileLock, Timeout

from stock_assets import retraining
from stock_assets.engines.engine import Engine, open_engine
from stock_assets.errors import UserError
from stock_assets.experiments import Experiment, record
from stock_assets.found_parameters import found_parameters
from stock_assets.layout import Layout
from stock_assets.learning.metrics import skill
from stock_assets.learning.next_day import PARAMETERS, Trainer
from stock_assets.learning.rows import fitting_windows
from stock_assets.learning.search_objective import Measured, Objective, next_day_objective, volume_objective
from stock_assets.learning.search_space import SPACES, Parameters
from stock_assets.learning.split import split_by_date
from stock_assets.learning.training import LOG_RATIO
from stock_assets.next_day import data as next_day
from stock_assets.next_day.model import MAX_VALIDATION, require
from stock_assets.next_day.rows import INPUTS, Window, in_window, joined, open_source, read_windows
from stock_assets.publishing import Report, exclusive, write_json
from stock_assets.registry import sha256_of
from stock_assets.search_study import Plan, Trial, run_trials
from stock_assets.settings import Settings
from stock_assets.volume_candidates import read_rows

MAX_NEXT_DAY = 300_000
"""Training rows of a trial of the next-day model, spread evenly: somewhat under half of its training's."""
OWN_PARAMETERS = {"volume_model": LOG_RATIO, "next_day_model": PARAMETERS}


class Task(NamedTuple):
    """What trials are measured by, on which features and with which code."""

    objective: Objective
    fingerprint: str
    code_version: str


@dataclass(frozen=True)
class Found:
    """All trials of a study, of which this search made `new` ones; `promoted`: the next training uses the best one."""

    model: str
    study: str
    trials: tuple[Trial, ...]
    new: int
    best: Trial
    in_use: Trial
    promoted: bool

    @property
    def gain(self) -> float:
        """The share of the MAE of the parameters in use that the best ones save on validation."""
        return skill(self.best.mae, self.in_use.mae)

    @property
    def verdict(self) -> str:
        """What came of it, in a line."""
        if self.promoted:
            saves = f"saves {self.gain:.2%} of the MAE on validation of the parameters that were in use"
            return f"promoted: trial {self.trials.index(self.best) + 1} of {len(self.trials)} {saves}"
        return f"not promoted: no trial of {len(self.trials)} errs less on validation than the parameters in use"


def search(
    settings: Settings,
    model: str,
    opened: Callable[[], AbstractContextManager[DuckDBPyConnection]],
    run_id: str,
    report: Report,
) -> Found:
    """Go on with the study of a model on the features that are published now until it has its trials.

    `opened` gives a connection to the published database. Raises `UserError` for a model without a search, features
    of other prices than `combined` has now, too few rows, a broken parameters.json, and while another search runs.
    """
    if model not in SPACES:
        raise UserError(f"{model}: there is no search for it, only for {', '.join(SPACES)}")
    layout, space = Layout(settings.data_dir), SPACES[model]
    with _only_search(layout), open_engine(settings, report) as engine:
        with exclusive(layout, settings.lock_timeout, report), opened() as connection:
            own = OWN_PARAMETERS[model] | found_parameters(layout, model)
            task = READERS[model](connection, settings, engine)
        plan = Plan(
            _study_of(model, task, settings), space, {name: own[name] for name in space}, settings.search_trials
        )
        made: list[Measured] = []

        def measure(parameters: Parameters) -> Measured:
            made.append(task.objective.measure(own | dict(parameters)))
            return made[-1]

        trials = run_trials(layout.search, plan, measure, report)
        found = _found(model, plan, trials, len(made))
        with exclusive(layout, settings.lock_timeout, report):
            _publish(settings, task, found, run_id)
    report(found.verdict)
    return found


def _read_volume(connection: DuckDBPyConnection, settings: Settings, engine: Engine) -> Task:
    """The rows that the training of the candidates has."""
    layout = Layout(settings.data_dir)
    files = retraining.feature_files(connection, layout)
    rows = read_rows(connection, files)
    split = split_by_date(rows.days, settings.train_share, settings.validation_share)
    objective = volume_objective(fitting_windows(rows, split), engine.threads, engine.train)
    return Task(objective, retraining.fingerprint(connection, files), retraining.code_version(settings))


def _read_next_day(connection: DuckDBPyConnection, settings: Settings, engine: Engine) -> Task:
    """A sample of the rows that the training of the point forecast has."""
    layout = Layout(settings.data_dir)
    files = retraining.feature_files(connection, layout, "next_day_features")
    source = open_source(connection, files)
    split = split_by_date(source.market.days, settings.train_share, settings.validation_share, source.market.rows)
    windows = {
        "training": Window(source.market.days[0], split.train_to, MAX_NEXT_DAY),
        "validation": Window(split.validation_from, split.validation_to, MAX_VALIDATION),
    }
    picked = list(read_windows(source, *windows.values()))
    training, validation = (require(joined(in_window(picked, window)), name) for name, window in windows.items())
    objective = next_day_objective(training, validation, Trainer(INPUTS, engine.threads, engine.train))
    return Task(objective, retraining.fingerprint(connection, files), next_day.code_version(settings))


READERS = {"volume_model": _read_volume, "next_day_model": _read_next_day}


def _study_of(model: str, task: Task, settings: Settings) -> str:
    """The name of the study: trials on other rows, by another method or another engine are none of its."""
    methods = (task.fingerprint, task.code_version, sha256_of(Path(__file__)), version("optuna"), settings.engine)
    return f"{model}-{hashlib.sha256(' '.join(methods).encode()).hexdigest()[:16]}"


def _found(model: str, plan: Plan, trials: list[Trial], new: int) -> Found:
    best = min(trials, key=lambda trial: trial.mae)
    in_use = next(trial for trial in trials if trial.parameters == plan.in_use)
    return Found(model, plan.study, tuple(trials), new, best, in_use, promoted=best.mae < in_use.mae)


@contextmanager
def _only_search(layout: Layout) -> Iterator[None]:
    """Hold the database of trials: of two searches at a time one would take the other's trial for a dead one."""
    layout.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(layout.search_lock, timeout=0):
            yield
    except Timeout as error:
        raise UserError(f"another search holds {layout.search_lock}: wait for it to end, or stop it") from error


def _publish(settings: Settings, task: Task, found: Found, run_id: str) -> None:
    """Record what was found and, if it is better, let the next training use it."""
    now = datetime.now(UTC)
    record(settings, [_experiment(task, found, run_id, now)])
    if found.promoted:
        path = Layout(settings.data_dir).parameters(found.model)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, _content(task, found, now))


def _content(task: Task, found: Found, now: datetime) -> dict[str, Any]:
    return {
        "parameters": found.best.parameters,
        "validation_mae": found.best.mae,
        "in_use_before": found.in_use.parameters,
        "validation_mae_before": found.in_use.mae,
        "study": found.study,
        "trials": len(found.trials),
        "data_fingerprint": task.fingerprint,
        "found_at": now.isoformat(timespec="seconds"),
    }


def _experiment(task: Task, found: Found, run_id: str, now: datetime) -> Experiment:
    objective = task.objective
    measured_on = {"rows": objective.rows, "from": objective.first, "to": objective.last}
    return Experiment(
        run_id=run_id,
        model=f"parameter_search/{found.model}",
        version=f"{now:%Y%m%dT%H%M%S%f}-{found.study.rpartition('-')[2][:8]}",
        parameters=found.best.parameters,
        data_version=task.fingerprint,
        code_version=task.code_version,
        metrics={
            "validation": measured_on | {"mae": found.best.mae},
            "validation_in_use": measured_on | {"mae": found.in_use.mae},
            "trials": len(found.trials),
        },
        promoted=found.promoted,
        reason=found.verdict,
    )
