"""What the next-day model is held against, on the same rows: what desks use, and the best that is simple."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from stock_assets.learning.metrics import Array
from stock_assets.learning.next_day import NextDayRows
from stock_assets.learning.smoothing import ALPHAS, LeastSquares
from stock_assets.next_day.rows import INPUTS, Picked

DECISIVE = "ewma"
"""The strongest of them: a model that does not beat it is not promoted."""
HAR = ("log_mean_20", "lag_0", "level_5", "level_60")
"""A month's mean; a day, a week and a quarter as differences to it (Corsi, 2009)."""


class Baselines(NamedTuple):
    """Fitted ones: the smoothing factor and the regression, neither of which has seen the test window."""

    alpha: float
    har: LeastSquares

    def predict(self, picked: Picked) -> dict[str, Array]:
        """Volumes in shares by name, shape (n,) each."""
        rows = picked.rows
        logs = rows.log_mean + self.har.predict(_har_inputs(rows))
        return {
            "last": picked.series.volume[picked.places],
            **picked.means,
            "ewma": picked.series.ewma(self.alpha)[picked.places],
            "har": np.maximum(np.expm1(logs), 0),
        }

    def as_json(self) -> dict[str, Any]:
        coefficients = dict(zip(("constant", *HAR), map(float, self.har.coefficients), strict=True))
        return {"ewma": {"alpha": self.alpha}, "har": coefficients}


def choose_alpha(validation: Iterable[Picked]) -> float:
    """The smoothing factor whose mean absolute error in shares is smallest on these rows."""
    errors = np.zeros(len(ALPHAS))
    for picked in validation:
        actual = picked.rows.volume
        errors += [np.abs(picked.series.ewma(alpha)[picked.places] - actual).sum() for alpha in ALPHAS]
    return ALPHAS[int(np.argmin(errors))]


def fit_har(training: NextDayRows) -> LeastSquares:
    """The regression of the next day's log volume on the means of a day, a week, a month and a quarter."""
    return LeastSquares.fit(_har_inputs(training), np.log1p(training.volume) - training.log_mean)


def _har_inputs(rows: NextDayRows) -> Any:
    return rows.inputs[:, [INPUTS.index(name) for name in HAR]]
