"""What `stock-assets doctor` says of the lake."""

from pathlib import Path

from stock_assets.lake_publishing import publish
from stock_assets.settings import Settings
from tests.helpers import free_port, stock_assets_here


def doctor(settings: Settings) -> str:
    variables = {
        "STOCK_ASSETS_DATA_DIR": str(settings.data_dir),
        "STOCK_ASSETS_LAKE_URL": str(settings.lake_url),
        "STOCK_ASSETS_DAGSTER_PORT": str(free_port()),
        "STOCK_ASSETS_SERVING_PORT": str(free_port()),
        "COLUMNS": "400",
    }
    (line,) = (
        line for line in stock_assets_here("doctor", variables=variables).stdout.splitlines() if "│ lake" in line
    )
    return line


def test_the_doctor_looks_at_the_lake(settings: Settings) -> None:
    assert f"✓ │ lake           │ {settings.lake_url}, nothing published yet" in doctor(settings)
    version = publish(settings, lambda _: None).manifest.version
    assert f"✓ │ lake           │ {settings.lake_url}, version {version}" in doctor(settings)


def test_the_doctor_tells_what_is_wrong_with_it(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.touch()
    said = doctor(Settings(data_dir=tmp_path / "data", lake_url=str(place / "lake")))
    assert f"✗ │ lake           │ {place} cannot be written" in said
    place.unlink()
    place.mkdir()
    (place / "manifest.json").write_text("none", "utf-8")
    said = doctor(Settings(data_dir=tmp_path / "data", lake_url=str(place)))
    assert "✗ │ lake " in said
    assert f"{place / 'manifest.json'}: : Invalid JSON" in said
