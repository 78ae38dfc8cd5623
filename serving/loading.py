"""One version of a model: its files verified, its scores tabulated, its self-test repeated."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from serving.model import Interval, LoadedModel, Range
from serving.tabulating import tabulated
from stock_assets.learning.volume import INPUTS, Target
from stock_assets.registry import MODEL_FILE, Pointer, sound_manifest, verify


class ModelRefusedError(Exception):
    """A version whose files are sound but that cannot be served; the message says which and why."""


class _SelfTest(BaseModel):
    inputs: list[tuple[FiniteFloat, FiniteFloat]] = Field(min_length=1)
    outputs: list[FiniteFloat]


class _Facts(BaseModel):
    """What the service needs of a manifest. The version becomes an HTTP header, hence the pattern."""

    version: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    inputs: tuple[str, ...]
    target: Target
    self_test: _SelfTest
    interval: Interval | None = None
    input_ranges: dict[str, Range] = {}


def load_promoted(folder: Path, pointer: Pointer) -> LoadedModel:
    """The version that a pointer names, from the very bytes that were held against its hash.

    Raises `RegistryError` for files that are missing or were changed, and `ModelRefusedError` for a
    manifest, a model text or a self-test that is not as the service needs it.
    """
    manifest, text = verify(folder, pointer)
    return _load(folder / pointer.path, manifest, text, pointer.version, pointer.promoted_at)


def load_version(folder: Path, version: str) -> LoadedModel:
    """Any version below `folder`, promoted or not. Raises what `load_promoted` does."""
    manifest = sound_manifest(folder, version)
    return _load(folder / version, manifest, (folder / version / MODEL_FILE).read_bytes(), version, None)


def _load(
    folder: Path, manifest: dict[str, Any], text: bytes, version: str, promoted_at: datetime | None
) -> LoadedModel:
    try:
        facts = _facts(manifest, version)
        model = LoadedModel.of_scores(
            tabulated(text, len(INPUTS)),
            name=folder.parent.name,
            version=version,
            promoted_at=promoted_at,
            target=facts.target,
            interval=facts.interval,
            ranges=facts.input_ranges,
            manifest=manifest,
        )
        _check(model, facts.self_test)
    except ValueError as error:
        raise ModelRefusedError(f"{folder}: {error}") from error
    return model


def _facts(manifest: dict[str, Any], version: str) -> _Facts:
    try:
        facts = _Facts.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where} in the manifest: {first['msg']}") from error
    if facts.version != version:
        raise ValueError(f"its manifest is that of version {facts.version!r}, not {version!r}")
    if facts.inputs != INPUTS:
        raise ValueError(f"its inputs are {facts.inputs}, not {INPUTS}")
    return facts


def _check(model: LoadedModel, test: _SelfTest) -> None:
    """Raise `ValueError` unless the model predicts what it did when it was published."""
    expected = np.array(test.outputs)
    actual = model.predict_many(np.array(test.inputs))
    if expected.shape != actual.shape or not np.allclose(actual, expected, rtol=1e-9, atol=0):
        raise ValueError("its self-test fails: it does not predict what it did when it was published")
