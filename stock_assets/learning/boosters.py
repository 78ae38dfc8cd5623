"""A booster from the text of a published model, and the text that a trained one is published as."""

import re
from typing import TYPE_CHECKING

from stock_assets.learning.light_lightgbm import import_lightgbm

if TYPE_CHECKING:
    from lightgbm import Booster


def load_booster(text: bytes) -> "Booster":
    """The booster that a LightGBM model text describes. Raises `ValueError` for one that is refused."""
    if b"\nend of trees\n" not in text:
        # LightGBM 4.7 aborts the whole process on most texts that were cut off.
        raise ValueError("it is not a complete LightGBM text")
    lightgbm = import_lightgbm()
    try:
        booster: Booster = lightgbm.Booster(model_str=text.decode("utf-8"))
    except lightgbm.basic.LightGBMError as error:
        raise ValueError(f"LightGBM refuses it: {error}") from error
    return booster


def as_published(booster: "Booster", rounds: int | None = None) -> "Booster":
    """The booster that its text describes, of its first `rounds` trees: what is measured is what is published.

    The number of threads makes no other model, so it must not make another text.
    """
    text = re.sub(r"\[num_threads: \d+\]", "[num_threads: 0]", booster.model_to_string(num_iteration=rounds))
    read: Booster = import_lightgbm().Booster(model_str=text)
    return read
