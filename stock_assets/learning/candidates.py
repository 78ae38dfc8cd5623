"""The candidates of the two-input model by name: how each is fitted, and all of them measured on the same rows."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from stock_assets.learning.evaluation import liquidity, measure
from stock_assets.learning.fitting import Train, train_here
from stock_assets.learning.intervals import Ratios, coverage, ratios
from stock_assets.learning.metrics import Array, score, skill
from stock_assets.learning.models import BoosterModel, Ensemble, Model
from stock_assets.learning.regressions import (
    ENSEMBLE_ROWS,
    FOREST,
    FOREST_ROWS,
    POLYNOMIAL,
    fit_ensemble,
    fit_linear,
    fit_log_log,
    fit_polynomial,
    fit_random_forest,
)
from stock_assets.learning.rows import MAX_ROWS, VolumeRows, Windows, fitting_windows, measured_window, require
from stock_assets.learning.split import Split
from stock_assets.learning.training import (
    LOG_RATIO,
    PUBLISHED,
    PUBLISHED_ROUNDS,
    fit_constant_multiple,
    fit_log_ratio,
    fit_published,
    refit_log_ratio,
)
from stock_assets.learning.volume import BASELINE

ENSEMBLE = "ensemble"
LOG_RATIO_NAME = "lightgbm_log_ratio"
AS_PUBLISHED = "lightgbm_raw"
RANDOM_TEST_SHARE = 0.2
SEED = 7


class Candidate(NamedTuple):
    """A way to fit a model: what it is, in a line, its parameters, and how many rows of a window it uses at most.

    `refit` fits it again on validation too, once that has decided what it is to decide.
    """

    about: str
    fit: Callable[[Windows, int], Model]
    parameters: dict[str, Any]
    max_rows: int = MAX_ROWS
    refit: Callable[[BoosterModel, Windows, int], BoosterModel] | None = None


class Checked(NamedTuple):
    """What the validation window says of a model: its errors, and the ratios of its interval if it can be served."""

    errors: dict[str, Any]
    ratios: Ratios | None


MEMBERS = {
    LOG_RATIO_NAME: Candidate(
        "LightGBM on the logarithm of volume over its moving average, absolute error.",
        fit_log_ratio,
        LOG_RATIO,
        refit=refit_log_ratio,
    ),
    AS_PUBLISHED: Candidate(
        "LightGBM on raw volume, squared error, with the parameters of the widely copied sample.",
        fit_published,
        PUBLISHED | {"num_iterations": PUBLISHED_ROUNDS},
    ),
    "random_forest": Candidate(
        "A random forest on raw volume, 100 trees of depth 6.", fit_random_forest, FOREST, FOREST_ROWS
    ),
    "polynomial": Candidate("A polynomial of order 2 of raw volume, least squares.", fit_polynomial, POLYNOMIAL),
    "linear": Candidate("Raw volume on the two inputs, least squares.", fit_linear, {}),
    "log_log": Candidate("Log volume on the logarithms of the two inputs, least squares.", fit_log_log, {}),
    "constant_multiple": Candidate(
        "The moving average times the median ratio of volume to it in training.", fit_constant_multiple, {}
    ),
}
ABOUT = {name: candidate.about for name, candidate in MEMBERS.items()} | {
    ENSEMBLE: "The other candidates' volumes, summed with non-negative weights that were fitted on validation."
}
NAMES = tuple(ABOUT)


def with_parameters(found: Mapping[str, Any], train: Train = train_here) -> dict[str, Candidate]:
    """The members, of which that of the log ratio is fitted with parameters that were found in place of its own.

    Boosters are trained by `train`, except for the one that is a single leaf.
    """
    parameters = LOG_RATIO | dict(found)
    log_ratio = MEMBERS[LOG_RATIO_NAME]._replace(
        fit=partial(fit_log_ratio, parameters=parameters, train=train),
        refit=partial(refit_log_ratio, parameters=parameters, train=train),
        parameters=parameters,
    )
    published = MEMBERS[AS_PUBLISHED]._replace(fit=partial(fit_published, train=train))
    return MEMBERS | {LOG_RATIO_NAME: log_ratio, AS_PUBLISHED: published}


def fit(
    names: Collection[str], windows: Windows, threads: int, members: Mapping[str, Candidate] = MEMBERS
) -> Iterator[tuple[str, Model]]:
    """The named candidates, one after the other as they are fitted; before the ensemble, all of its members.

    Raises `UserError` where a window has too few rows that can be used.
    """
    models: dict[str, Model] = {}
    for name, candidate in members.items():
        if name in names or ENSEMBLE in names:
            models[name] = candidate.fit(windows, threads)
            yield name, models[name]
    if ENSEMBLE in names:
        yield ENSEMBLE, fit_ensemble(models, windows.validation, threads)


def refit(
    models: Mapping[str, Model], windows: Windows, threads: int, members: Mapping[str, Candidate] = MEMBERS
) -> dict[str, Model]:
    """The models to be measured and published: what validation has decided stays, and its rows are learnt from too.

    That is done for the log ratio only, the ensemble's member included: the others decide nothing on validation.
    """
    final = dict(models)
    for name, candidate in members.items():
        if candidate.refit and isinstance(first := models.get(name), BoosterModel):
            final[name] = candidate.refit(first, windows, threads)
    if isinstance(ensemble := models.get(ENSEMBLE), Ensemble):
        final[ENSEMBLE] = Ensemble(ensemble.weights, {name: final[name] for name in ensemble.members})
    return final


def check(models: Mapping[str, Model], validation: VolumeRows, threads: int) -> dict[str, Checked]:
    """The errors of each model on the validation window, which choose one, and what its interval is made of.

    To be called before `refit`: a model that has learnt from these rows errs less on them than on what comes. Raises
    `UserError` where a model that can be served predicts anything of too few rows.
    """
    seen = {
        "rows": len(validation.days),
        "from": str(validation.days.min()),
        "to": str(validation.days.max()),
    }
    volumes = predict(models, validation.inputs, threads)
    return {
        name: Checked(
            seen | score(validation.volume, volumes[name]),
            _ratios(validation, volumes[name]) if isinstance(model, BoosterModel) else None,
        )
        for name, model in models.items()
    }


def _ratios(validation: VolumeRows, volumes: Array) -> Ratios:
    """Those of the rows of which anything is predicted: to nothing there is no ratio."""
    predicted = volumes > 0
    rows = require(validation.at(predicted), "validation")
    return ratios(volumes[predicted], rows.volume, liquidity(rows.inputs[:, 0]))


def predict(models: Mapping[str, Model], inputs: Array, threads: int) -> dict[str, Array]:
    """Volumes in shares, shape (n,), of each model; the ensemble, after its members, of theirs."""
    volumes: dict[str, Array] = {}
    for name, model in models.items():
        volumes[name] = model.combine(volumes) if isinstance(model, Ensemble) else model.predict(inputs, threads)
    return volumes


def evaluate(
    models: Mapping[str, Model], checked: Mapping[str, Checked], rows: VolumeRows, split: Split, threads: int
) -> dict[str, dict[str, Any]]:
    """The content of `metrics.json` by candidate, of the test window and of what was checked on validation.

    Raises `UserError` where it has too few rows.
    """
    test = measured_window(rows, split)
    volumes = predict(models, test.inputs, threads)
    groups, baselines = test.groups(), {BASELINE: test.inputs[:, 0]}
    metrics = {
        name: measure(test.days, test.volume, volumes[name], baselines, groups)
        | {"split": split.as_json(), "validation": checked[name].errors}
        for name in models
    }
    for name, (_, found) in checked.items():
        if found:
            ends = found.ends(volumes[name], groups["liquidity"])
            metrics[name]["interval"] = coverage(*ends, test.volume, groups["liquidity"])
    if AS_PUBLISHED in models:
        claimed = random_split(rows, threads) | {"by_date": claim(test, volumes[AS_PUBLISHED])}
        metrics[AS_PUBLISHED]["random_split"] = claimed
    return metrics


def walk(
    names: Collection[str],
    rows: VolumeRows,
    folds: list[Split],
    threads: int,
    members: Mapping[str, Candidate] = MEMBERS,
) -> dict[str, list[dict[str, Any]]]:
    """The candidates fitted and measured anew on each fold: its test window, MAE in shares and skill, by candidate.

    Raises `UserError` where a window of a fold has too few rows.
    """
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for fold in folds:
        windows = fitting_windows(rows, fold)
        models = refit(dict(fit(names, windows, threads, members)), windows, threads, members)
        test = measured_window(rows, fold)
        bounds = {"train_to": str(fold.train_to), "from": str(test.days.min()), "to": str(test.days.max())}
        baseline = _mae(test, test.inputs[:, 0])
        for name, volumes in predict(models, test.inputs, threads).items():
            mae = _mae(test, volumes)
            entry = {"rows": len(test.days), "mae": mae, "skill": {BASELINE: skill(mae, baseline)}}
            found.setdefault(name, []).append(bounds | entry)
    return found


def _mae(rows: VolumeRows, volumes: Array) -> float:
    return float(np.mean(np.abs(volumes - rows.volume)))


def random_split(rows: VolumeRows, threads: int) -> dict[str, Any]:
    """What a random 80/20 split would claim for the model as published: errors, R2 of raw volume, and skill.

    Rows of one day and one symbol's neighbouring days are then on both sides, so it is no measurement of what comes
    next: it stands beside the split by time to show the difference.
    """
    thinned = rows.thinned(MAX_ROWS)
    is_test = np.random.default_rng(SEED).random(len(thinned.days)) < RANDOM_TEST_SHARE
    training, test = thinned.at(~is_test), thinned.at(is_test)
    model = fit_published(Windows(training, training), threads)
    claimed = claim(test, model.predict(test.inputs, threads))
    return {"test_share": RANDOM_TEST_SHARE, "rows": len(test.days)} | claimed


def claim(test: VolumeRows, volumes: Array) -> dict[str, Any]:
    """Errors with `r2`, the coefficient of determination of raw volume, and the skill."""
    scores = score(test.volume, volumes)
    spread = float(np.var(test.volume))
    baseline = _mae(test, test.inputs[:, 0])
    r2 = 1 - scores["mse"] / spread if spread else 0.0
    return scores | {"r2": r2, "skill": {BASELINE: skill(scores["mae"], baseline)}}


def parameters_of(name: str, model: Model, members: Mapping[str, Candidate] = MEMBERS) -> dict[str, Any]:
    """What the manifest says of how a model was fitted, with what the fit itself decided."""
    if isinstance(model, Ensemble):
        return {"weights": model.weights, "of": "volumes", "max_rows": ENSEMBLE_ROWS}
    found = members[name].parameters | {"max_rows": members[name].max_rows}
    if isinstance(model, BoosterModel):
        found = found | {"num_iterations": model.booster.num_trees()}
    return found
