"""Where credentials are found: each place that the real client reads, and what is said where there are none."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stock_assets.errors import UserError
from stock_assets.ingest.kaggle_credentials import find_credentials, required_credentials
from stock_assets.ingest.kaggle_dataset import current_version
from tests.helpers import demo_settings, free_port, stock_assets_here
from tests.ingest.kaggle_server import KEY, TOKEN, USER, KaggleServer, point_client_at

Patch = pytest.MonkeyPatch


@pytest.fixture
def home(monkeypatch: Patch, tmp_path: Path) -> Iterator[Path]:
    """A home without credentials, and a server that knows some."""
    with KaggleServer({4: b""}) as kaggle:
        point_client_at(kaggle, monkeypatch, tmp_path / "home")
        for name in ("KAGGLE_API_TOKEN", "KAGGLE_CONFIG_DIR"):
            monkeypatch.delenv(name)
        (tmp_path / "home" / ".kaggle").mkdir()
        yield tmp_path / "home"


def _token_variable(_: Path, patch: Patch) -> str:
    patch.setenv("KAGGLE_API_TOKEN", TOKEN)
    return "KAGGLE_API_TOKEN"


def _token_file(home: Path, _: Patch) -> str:
    (home / ".kaggle" / "access_token").write_text(TOKEN + "\n")
    return str(home / ".kaggle" / "access_token")


def _token_text_file(home: Path, _: Patch) -> str:
    (home / ".kaggle" / "access_token.txt").write_text(TOKEN)
    return str(home / ".kaggle" / "access_token.txt")


def _notebook(home: Path, patch: Patch) -> str:
    (home / "notebook_token").write_text(TOKEN)
    patch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    patch.setenv("KAGGLE_DATA_PROXY_URL", "http://127.0.0.1:9")
    patch.setenv("KAGGLE_API_V1_TOKEN", str(home / "notebook_token"))
    return str(home / "notebook_token")


def _key_variables(_: Path, patch: Patch) -> str:
    patch.setenv("KAGGLE_USERNAME", USER)
    patch.setenv("KAGGLE_KEY", KEY)
    return "KAGGLE_USERNAME and KAGGLE_KEY"


def _key_file(home: Path, _: Patch) -> str:
    (home / ".kaggle" / "kaggle.json").write_text(json.dumps({"username": USER, "key": KEY}))
    return str(home / ".kaggle" / "kaggle.json")


def _key_file_and_name(home: Path, patch: Patch) -> str:
    (home / ".kaggle" / "kaggle.json").write_text(json.dumps({"key": KEY}))
    patch.setenv("KAGGLE_USERNAME", USER)
    return str(home / ".kaggle" / "kaggle.json")


def _sign_in(home: Path, _: Patch) -> str:
    later = (datetime.now(UTC) + timedelta(hours=9)).isoformat()
    stored = {"refresh_token": "r", "access_token": TOKEN, "access_token_expiration": later, "username": USER}
    (home / ".kaggle" / "credentials.json").write_text(json.dumps(stored))
    return str(home / ".kaggle" / "credentials.json")


@pytest.mark.parametrize(
    "store",
    [
        _token_variable,
        _token_file,
        _token_text_file,
        _notebook,
        _key_variables,
        _key_file,
        _key_file_and_name,
        _sign_in,
    ],
)
def test_what_the_client_uses_is_found(home: Path, monkeypatch: Patch, store: Callable[[Path, Patch], str]) -> None:
    place = store(home, monkeypatch)
    assert find_credentials() == place

    # The client settles where its file lies when it is first imported, which here may have been under another home.
    from kaggle.api.kaggle_api_extended import KaggleApi  # type: ignore[import-untyped]  # noqa: PLC0415

    monkeypatch.setattr(KaggleApi, "config", str(home / ".kaggle" / "kaggle.json"))
    assert current_version("alice/market", print) == "alice/market/versions/4"


@pytest.mark.parametrize("place", ["KAGGLE_CONFIG_DIR", "XDG_CONFIG_HOME", "HOME"])
def test_the_key_file_may_lie_elsewhere(home: Path, monkeypatch: Patch, tmp_path: Path, place: str) -> None:
    (home / ".kaggle").rmdir()
    folders = {"KAGGLE_CONFIG_DIR": "", "XDG_CONFIG_HOME": "kaggle", "HOME": ".config/kaggle"}
    file = tmp_path / "other" / folders[place] / "kaggle.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"username": USER, "key": KEY}))
    monkeypatch.setenv(place, str(tmp_path / "other"))

    assert find_credentials() == str(file)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("access_token", " \n"),
        ("kaggle.json", "{"),
        ("kaggle.json", "[]"),
        ("kaggle.json", '{"username": "alice"}'),
        ("credentials.json", '{"access_token": "old"}'),
    ],
)
def test_what_the_client_could_not_use_is_not_found(home: Path, name: str, text: str) -> None:
    (home / ".kaggle" / name).write_text(text)

    assert find_credentials() is None
    with pytest.raises(
        UserError, match=r"make a token at https://www\.kaggle\.com/settings/api and set KAGGLE_API_TOKEN"
    ):
        required_credentials()


def test_doctor_tells_of_credentials(home: Path, monkeypatch: Patch, tmp_path: Path) -> None:
    ports = {"dagster_port": free_port(), "serving_port": free_port()}
    variables = demo_settings(tmp_path / "data", source="kaggle", **ports) | {"COLUMNS": "300"}
    without = stock_assets_here("doctor", variables=variables)
    place = _token_variable(home, monkeypatch)
    with_token = stock_assets_here("doctor", variables=variables)

    assert without.returncode == 1
    assert "no credentials" in without.stdout
    assert "https://www.kaggle.com/settings/api" in without.stdout
    assert f"credentials in {place}" in with_token.stdout
    assert TOKEN not in with_token.stdout
