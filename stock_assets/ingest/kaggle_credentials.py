"""Where the Kaggle client will find credentials: asked before it is imported, since its import uses them at once.

The variables and files are Kaggle's own, in the order in which the client (2.2) reads them.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from stock_assets.errors import UserError

REMEDY = (
    "make a token at https://www.kaggle.com/settings/api and set KAGGLE_API_TOKEN to it, "
    "or save it in ~/.kaggle/access_token"
)


def required_credentials() -> str:
    """Where the credentials are. Raises `UserError` with the way to get some where there are none."""
    place = find_credentials()
    if place is None:
        raise UserError(f"no Kaggle credentials were found: {REMEDY}")
    return place


def find_credentials() -> str | None:
    """The variable or file that the client will take credentials from, None where it will find none."""
    home = Path.home() / ".kaggle"
    if os.environ.get("KAGGLE_API_TOKEN"):
        return "KAGGLE_API_TOKEN"
    tokens = [home / "access_token", home / "access_token.txt"]
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ:  # in a Kaggle notebook
        tokens.insert(0, Path(os.environ.get("KAGGLE_API_V1_TOKEN", "")))
    for token in tokens:
        if _text(token).strip():
            return str(token)
    return _find_key() or _find_sign_in(home / "credentials.json")


def _find_key() -> str | None:
    """A user name and a key, which may come from different places."""
    file = _config_folder() / "kaggle.json"
    stored = _json(file)
    name, key = os.environ.get("KAGGLE_USERNAME"), os.environ.get("KAGGLE_KEY")
    if (name or stored.get("username")) and (key or stored.get("key")):
        return "KAGGLE_USERNAME and KAGGLE_KEY" if name and key else str(file)
    return None


def _find_sign_in(file: Path) -> str | None:
    """What `kaggle auth login` stores."""
    return str(file) if _json(file).get("refresh_token") else None


def _config_folder() -> Path:
    if folder := os.environ.get("KAGGLE_CONFIG_DIR"):
        return Path(folder)
    folder_at_home = Path.home() / ".kaggle"
    if folder_at_home.exists() or not sys.platform.startswith("linux"):
        return folder_at_home
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_text(path))
    except json.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _text(path: Path) -> str:
    """A file's text; empty where there is no such file or it cannot be read, as the client takes it."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
