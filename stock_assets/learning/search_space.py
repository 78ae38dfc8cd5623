"""The hyper-parameters that a search may choose, by model, and between which values; no others may be set."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Parameters = Mapping[str, int | float]
"""A value for each name of a space."""


class Range(NamedTuple):
    """From one value to another, whole numbers where both are. `log`: each order of magnitude is as likely."""

    low: int | float
    high: int | float
    log: bool = False

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def fault_of(self, value: Any) -> str | None:
        """What is wrong with a value, None where nothing is."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return f"is {value!r}, not a {'whole ' if self.whole else ''}number"
        return None if self.low <= value <= self.high else f"is {value!r}, not between {self.low} and {self.high}"


Space = Mapping[str, Range]

SPACES: dict[str, Space] = {
    "volume_model": {
        "learning_rate": Range(0.02, 0.3, log=True),
        "num_leaves": Range(3, 63, log=True),
        "min_data_in_leaf": Range(20, 5000, log=True),
    },
    "next_day_model": {
        "learning_rate": Range(0.03, 0.2, log=True),
        "num_leaves": Range(15, 255, log=True),
        "min_data_in_leaf": Range(20, 1000, log=True),
        "feature_fraction": Range(0.2, 1.0),
        "bagging_fraction": Range(0.3, 1.0),
        "max_bin": Range(63, 255),
    },
}
"""Of `volume_model` the candidate `lightgbm_log_ratio`, of `next_day_model` the point forecast."""


def fault_of(parameters: Any, space: Space) -> str | None:
    """The first thing that is wrong with parameters as read from a file, None where they have a value for each name."""
    if not isinstance(parameters, dict):
        return "it has no parameters"
    if unknown := sorted(set(parameters) - set(space)):
        return f"{', '.join(unknown)} cannot be set, only {', '.join(space)}"
    if missing := [name for name in space if name not in parameters]:
        return f"{', '.join(missing)} is missing"
    faults = ((name, space[name].fault_of(value)) for name, value in parameters.items())
    return next((f"{name} {fault}" for name, fault in faults if fault), None)
