"""LightGBM without pandas and scikit-learn, and without threads that burn a core while they wait."""

import importlib
import logging
import os
import sys
from types import ModuleType

_OPTIONAL = ("pandas", "sklearn", "dask", "matplotlib")


def import_lightgbm() -> ModuleType:
    """LightGBM, without what it imports of others."""
    _calm_threads()
    # LightGBM imports pandas and scikit-learn wherever they are installed: seconds and 100 MB for the scikit-learn
    # wrappers and data frames, of which a booster fed with arrays needs nothing. None in sys.modules makes an import
    # fail as if the package were not there, which LightGBM expects.
    blocked = [name for name in _OPTIONAL if name not in sys.modules]
    for name in blocked:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("lightgbm")
    finally:
        for name in blocked:
            del sys.modules[name]


def import_whole_lightgbm() -> ModuleType:
    """LightGBM with its estimators for Dask, loaded anew where this process has the light one already."""
    _calm_threads()
    whole = importlib.import_module("lightgbm")
    if not whole.compat.SKLEARN_INSTALLED:
        # Boosters of the light one live on: they keep their module, and both share the one library.
        for name in [name for name in sys.modules if name.partition(".")[0] == "lightgbm"]:
            del sys.modules[name]
        whole = importlib.import_module("lightgbm")
    # Its estimators for Dask print what they do, and warn of a default of their own; what is wrong they raise.
    log = logging.getLogger("lightgbm")
    log.setLevel(logging.ERROR)
    whole.register_logger(log)
    return whole


def _calm_threads() -> None:
    # Its threads spin between two pieces of work; beside any other busy process on the same cores that made training
    # up to five times slower. GNU's OpenMP reads this when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
