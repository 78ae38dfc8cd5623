"""API keys of the service as `STOCK_ASSETS_API_KEYS` names them; what is kept of a key is its SHA-256 hash.

A plain hash is enough for a key that was drawn at random; nobody tries 2^256 of them.
"""

import hashlib
import hmac
import re
import secrets
from pathlib import Path

from pydantic import SecretStr

from stock_assets.errors import UserError

SETTING = "STOCK_ASSETS_API_KEYS"
HASHED = "sha256:"
SHORTEST = 16
SOUND = re.compile(rf"[!-~]{{{SHORTEST},}}", re.ASCII)
"""Visible ASCII: what a header can carry. Too short a key could be guessed."""


def new_key() -> tuple[str, str]:
    """A key for a client, and the line with its hash for the service."""
    key = secrets.token_urlsafe(32)
    return key, HASHED + key_hash(key.encode()).hex()


def key_hash(key: bytes) -> bytes:
    """What is kept and compared of a key, 32 bytes."""
    return hashlib.sha256(key).digest()


def matching(known: tuple[bytes, ...], key: bytes) -> bytes | None:
    """The hash among `known` that is this key's. All are compared, so that the time taken tells nothing of which."""
    asked = key_hash(key)
    found = [candidate for candidate in known if hmac.compare_digest(candidate, asked)]
    return found[0] if found else None


def read_keys(setting: SecretStr) -> tuple[bytes, ...]:
    """The hashes of all keys that the setting names. Raises `UserError`, which never repeats an entry."""
    hashes: list[bytes] = []
    for number, entry in enumerate(setting.get_secret_value().split(","), start=1):
        if entry.strip().startswith("@"):
            hashes += _of_file(Path(entry.strip()[1:]).expanduser())
        elif entry.strip():
            hashes.append(_hash_of(entry.strip(), f"entry {number}"))
    if not hashes:
        raise UserError(f"{SETTING} is set but names no key; `stock-assets api-key` makes one")
    return tuple(hashes)


def _of_file(path: Path) -> list[bytes]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{SETTING}: the file of keys cannot be read ({type(error).__name__}): {path}") from error
    entries = [(number, line.strip()) for number, line in enumerate(lines, start=1)]
    return [_hash_of(entry, f"line {n} of {path}") for n, entry in entries if entry and not entry.startswith("#")]


def _hash_of(entry: str, where: str) -> bytes:
    if entry.startswith(HASHED):
        digits = entry.removeprefix(HASHED)
        if not re.fullmatch(r"[0-9a-fA-F]{64}", digits):
            raise UserError(f"{SETTING}, {where}: after {HASHED} come 64 hexadecimal digits")
        return bytes.fromhex(digits)
    if not SOUND.fullmatch(entry):
        problem = f"a key has {SHORTEST} or more visible ASCII characters; `stock-assets api-key` makes one"
        raise UserError(f"{SETTING}, {where}: {problem}")
    return key_hash(entry.encode())
