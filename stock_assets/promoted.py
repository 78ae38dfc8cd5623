"""The promoted version of a model, held against its hash, for the steps that use or watch it."""

from pathlib import Path
from typing import Any, NamedTuple

from stock_assets.errors import UserError
from stock_assets.registry import RegistryError, read_pointer, verify


class NotPromotedError(UserError):
    """There is no promoted version, as none was worth it so far."""


class Promoted(NamedTuple):
    """A sound version: its manifest, and the model's text, whose bytes are those that were hashed."""

    version: str
    manifest: dict[str, Any]
    text: bytes


def read_promoted(folder: Path) -> Promoted:
    """The version that is promoted below `folder` (`models/<name>`).

    Raises `NotPromotedError` where there is none, and `UserError` where its files are missing or were changed.
    """
    try:
        pointer = read_pointer(folder)
        if pointer is None:
            raise NotPromotedError(f"no version of {folder.name} is promoted: its checks say why")
        manifest, text = verify(folder, pointer)
    except RegistryError as error:
        raise UserError(
            f"the promoted {folder.name} cannot be used: {error}; materialize {folder.name} anew"
        ) from error
    return Promoted(pointer.version, manifest, text)
