"""The trials of a search, kept in `search.db` as they end: a search that was stopped goes on where it was."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stock_assets.errors import UserError, first_line
from stock_assets.learning.search_objective import Measured
from stock_assets.learning.search_space import Parameters, Range, Space
from stock_assets.publishing import Report

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

Measure = Callable[[Parameters], Measured]

SEED = 7
TREES = "trees"
REMEDY = "mend the disk, or remove the file: the trials of earlier searches are lost then, and nothing else"


class Trial(NamedTuple):
    """What came of a trial: `mae` in shares."""

    parameters: dict[str, Any]
    mae: float
    trees: int


class Plan(NamedTuple):
    """A study by its name, what it may choose from, the parameters in use, and how many trials it is to have."""

    study: str
    space: Space
    in_use: Parameters
    trials: int


def run_trials(path: Path, plan: Plan, measure: Measure, report: Report) -> list[Trial]:
    """Go on with a study in the database `path` until it has its trials; all of them, those of earlier runs too.

    The parameters in use are always one of them. The same trials follow on the same ones, however often the study was
    stopped. Raises `UserError` where the database cannot be used.
    """
    with _opened(path, plan.study) as study:
        for stopped in _with_state(study, "RUNNING"):
            study.tell(stopped.number, state=_state("FAIL"))
        found = _trials(study)
        if found:
            report(f"trials of {plan.study} that are there already: {len(found)}")
        if not any(trial.parameters == plan.in_use for trial in found):
            _add_given(study, plan, measure)
            found = _trials(study)
            report(_told(found, max(plan.trials, len(found))))
        while len(found) < plan.trials:
            _add_suggested(study, plan, len(found), measure)
            found = _trials(study)
            report(_told(found, plan.trials))
        return found


def _add_given(study: "Study", plan: Plan, measure: Measure) -> None:
    """A trial of the parameters in use."""
    from optuna import create_trial  # noqa: PLC0415

    measured, said = measure(plan.in_use), dict(plan.in_use)
    attributes = {TREES: measured.trees}
    study.add_trial(create_trial(params=said, distributions=_space(plan), value=measured.mae, user_attrs=attributes))


def _add_suggested(study: "Study", plan: Plan, ended: int, measure: Measure) -> None:
    """A trial of what the sampler suggests after so many that came to an end."""
    from optuna.samplers import TPESampler  # noqa: PLC0415

    # A new one for each trial: one that lives on would know how many it made before the search was stopped.
    study.sampler = TPESampler(seed=SEED + ended)
    trial = study.ask(_space(plan))
    measured = measure(trial.params)
    trial.set_user_attr(TREES, measured.trees)
    study.tell(trial, measured.mae)


def _space(plan: Plan) -> "dict[str, BaseDistribution]":
    return {name: _distribution(bounds) for name, bounds in plan.space.items()}


def _distribution(bounds: Range) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution  # noqa: PLC0415

    if bounds.whole:
        return IntDistribution(int(bounds.low), int(bounds.high), log=bounds.log)
    return FloatDistribution(bounds.low, bounds.high, log=bounds.log)


def _trials(study: "Study") -> list[Trial]:
    """Those that came to an end, in their order."""
    return [
        Trial(dict(trial.params), float(trial.value), int(trial.user_attrs[TREES]))
        for trial in _with_state(study, "COMPLETE")
    ]


def _with_state(study: "Study", state: str) -> list[Any]:
    return study.get_trials(deepcopy=False, states=(_state(state),))


def _state(name: str) -> Any:
    from optuna.trial import TrialState  # noqa: PLC0415

    return TrialState[name]


def _told(found: list[Trial], trials: int) -> str:
    last, best = found[-1], min(trial.mae for trial in found)
    chosen = in_words(last.parameters)
    return f"trial {len(found)} of {trials}: MAE {last.mae:,.1f}, best {best:,.1f}; {chosen}, {last.trees} trees"


def in_words(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in parameters.items())


@contextmanager
def _opened(path: Path, name: str) -> Iterator["Study"]:
    import optuna  # noqa: PLC0415 - nobody else needs its second
    from sqlalchemy import URL  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Optuna formats the address; braces of a folder's name are no fields.
    url = URL.create("sqlite", database=str(path)).render_as_string().replace("{", "{{").replace("}", "}}")
    storage = None
    try:
        storage = optuna.storages.RDBStorage(url)
        yield optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise UserError(f"{path} cannot be used: {first_line(error.__cause__ or error)}; {REMEDY}") from error
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()
