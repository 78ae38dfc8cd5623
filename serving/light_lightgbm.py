"""LightGBM without pandas and scikit-learn; the one place of `serving` that imports it."""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightgbm import Booster

_OPTIONAL = ("pandas", "sklearn", "dask", "matplotlib")


def load_booster(text: bytes) -> "Booster":
    """The booster that a LightGBM model text describes. Raises `ValueError` for one that is refused."""
    if b"\nend of trees\n" not in text:
        # LightGBM 4.7 aborts the whole process on most texts that were cut off.
        raise ValueError("it is not a complete LightGBM text")
    lightgbm = _import_lightgbm()
    try:
        booster: Booster = lightgbm.Booster(model_str=text.decode("utf-8"))
    except lightgbm.basic.LightGBMError as error:
        raise ValueError(f"LightGBM refuses it: {error}") from error
    return booster


def _import_lightgbm() -> ModuleType:
    # LightGBM imports pandas and scikit-learn wherever they are installed: 3 s and 100 MB for the
    # scikit-learn wrappers and data frames, of which a booster fed with arrays needs nothing. None
    # in sys.modules makes an import fail as if the package were not there, which LightGBM expects.
    blocked = [name for name in _OPTIONAL if name not in sys.modules]
    for name in blocked:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("lightgbm")
    finally:
        for name in blocked:
            del sys.modules[name]
