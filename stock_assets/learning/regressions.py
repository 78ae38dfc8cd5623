"""The candidates that are no boosters: scikit-learn's estimators of raw volume, log-log least squares, the ensemble."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stock_assets.learning.models import Ensemble, LogLog, Model, Regressor, log_inputs, log_volume
from stock_assets.learning.rows import VolumeRows, Windows, require

FOREST: dict[str, Any] = {"n_estimators": 100, "max_depth": 6, "random_state": 7}
FOREST_ROWS = 50_000
"""Rows, evenly spaced, that the forest is fitted on: hundreds for each leaf. Twice as many take three times as long."""
POLYNOMIAL: dict[str, Any] = {"degree": 2}
ENSEMBLE_ROWS = 200_000
"""Rows of the validation window, evenly spaced, that the weights are fitted on."""
ENSEMBLE_ROUNDS = 30


def fit_random_forest(windows: Windows, threads: int) -> Regressor:
    """A random forest of raw volume. Its trees are the same whatever the number of threads."""
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415

    training = windows.training.thinned(FOREST_ROWS)
    forest = RandomForestRegressor(**FOREST, n_jobs=threads).fit(training.inputs, training.volume)
    return Regressor(forest.set_params(n_jobs=1))


def fit_polynomial(windows: Windows, threads: int) -> Regressor:  # noqa: ARG001
    """Least squares of raw volume on the inputs, their squares and their product, scaled first."""
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler  # noqa: PLC0415

    steps = StandardScaler(), PolynomialFeatures(**POLYNOMIAL, include_bias=False), LinearRegression()
    return Regressor(make_pipeline(*steps).fit(windows.training.inputs, windows.training.volume))


def fit_linear(windows: Windows, threads: int) -> Regressor:  # noqa: ARG001
    """Least squares of raw volume on the two inputs."""
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415

    return Regressor(LinearRegression().fit(windows.training.inputs, windows.training.volume))


def fit_log_log(windows: Windows, threads: int) -> LogLog:  # noqa: ARG001
    """Least squares of log volume on log inputs, of the days with trading: a zero would count as a crash.

    Raises `UserError` where there are too few.
    """
    training = require(windows.training.at(windows.training.volume > 0), "training")
    design = np.column_stack([np.ones(len(training.days)), log_inputs(training.inputs)])
    (intercept, *slopes), *_ = np.linalg.lstsq(design, log_volume(training.volume))
    return LogLog(float(intercept), (float(slopes[0]), float(slopes[1])))


def fit_ensemble(members: Mapping[str, Model], validation: VolumeRows, threads: int) -> Ensemble:
    """The non-negative weights of the members' volumes with the least absolute error over the validation window.

    They are found by iteratively reweighted least squares (Schlossmacher, An iterative technique for absolute
    deviations curve fitting, 1973). See Breiman, Stacked regressions, 1996, for why they are not negative.
    """
    from scipy.optimize import nnls  # noqa: PLC0415

    rows = validation.thinned(ENSEMBLE_ROWS)
    volumes = np.column_stack([model.predict(rows.inputs, threads) for model in members.values()])
    weights = np.full(len(members), 1 / len(members))
    for _ in range(ENSEMBLE_ROUNDS):
        scale = np.sqrt(1 / np.maximum(np.abs(rows.volume - volumes @ weights), 1))
        # The triangle of the QR decomposition has the same solution and as many rows as there are members.
        square, triangle = np.linalg.qr(volumes * scale[:, np.newaxis])
        weights, _ = nnls(triangle, square.T @ (rows.volume * scale))
    return Ensemble(dict(zip(members, map(float, weights), strict=True)), dict(members))
