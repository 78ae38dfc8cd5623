"""The settings: their defaults, where they are read from, and what is said of a bad value."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from stock_assets.errors import UserError
from stock_assets.settings import Settings, load_settings, reproduce


def test_defaults_need_nothing() -> None:
    settings = load_settings()

    assert settings.data_dir == Path("data")
    assert (settings.source, settings.source_path, settings.demo_files) == ("demo", None, 300)
    assert (settings.train_share, settings.validation_share) == (0.7, 0.15)
    assert (settings.threads, settings.memory_limit) == (None, None)
    assert (settings.host, settings.dagster_port, settings.serving_port) == ("127.0.0.1", 3000, 8000)


def test_every_setting_has_a_sound_default_and_a_line_of_help() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert "\n" not in field.description
        assert Settings(**{name: field.default}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SOURCE", "nowhere"),
        ("DEMO_FILES", "29"),
        ("DEMO_FILES", "many"),
        ("DEMO_START", "2019-01-01"),
        ("DEMO_START", "yesterday"),
        ("DEMO_SEED", "-1"),
        ("TRAIN_SHARE", "1"),
        ("VALIDATION_SHARE", "nan"),
        ("THREADS", "0"),
        ("MEMORY_LIMIT", "lots"),
        ("LOCK_TIMEOUT", "-1"),
        ("DAGSTER_PORT", "65536"),
        ("SERVING_PORT", "0"),
        ("RELOAD_SECONDS", "0"),
    ],
)
def test_a_bad_value_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"STOCK_ASSETS_{name}", value)

    with pytest.raises(UserError) as failure:
        load_settings()

    assert re.fullmatch(rf"STOCK_ASSETS_{name}={value}: .+README\.md\.", str(failure.value))


def test_an_empty_value_is_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCK_ASSETS_THREADS", "")

    assert load_settings().threads is None


def test_a_variable_beats_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STOCK_ASSETS_DEMO_FILES=40\nSTOCK_ASSETS_DEMO_SEED=8\n", encoding="utf-8")
    monkeypatch.setenv("STOCK_ASSETS_DEMO_FILES", "50")

    settings = load_settings()

    assert (settings.demo_files, settings.demo_seed) == (50, 8)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().threads = 3  # type: ignore[misc]


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STOCK_ASSETS_DATA_DIR", "~/prices")
    assert load_settings().data_dir == tmp_path / "prices"


def test_an_env_file_that_is_no_text_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"STOCK_ASSETS_SOURCE=\xff\n")
    with pytest.raises(UserError, match=r"^\.env is not UTF-8 text"):
        load_settings()


def test_the_command_that_makes_the_same_again_leaves_out_where_it_was_made() -> None:
    settings = Settings(
        demo_files=60,
        train_share=0.6,
        data_dir=Path("there"),
        lake_url="s3://team/prod",
        engine="dask",
        dask_scheduler="tcp://10.1.2.3:8786",
        serving_port=1234,
    )

    assert reproduce(settings) == "STOCK_ASSETS_DEMO_FILES=60 STOCK_ASSETS_TRAIN_SHARE=0.6 stock-assets run"
