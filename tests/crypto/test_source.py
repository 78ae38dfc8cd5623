"""The files of crypto assets: generated or the user's, and what the sensor takes for a change of them."""

from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from stock_assets.crypto import source
from stock_assets.crypto.demo import DAYS, write_assets
from stock_assets.defs.automation import crypto_sensor
from stock_assets.ingest.snapshot import Manifest
from stock_assets.ingest.watch import Decision, Seen
from stock_assets.layout import Layout
from stock_assets.settings import Settings, load_settings
from tests.crypto.conftest import lines_of, write
from tests.helpers import digests, litter, rest

SETTLE = 60.0


class Sensor:
    """Ticks on real files; only the clock is not real."""

    def __init__(self, data_dir: Path, path: Path | None, seed: int = 7) -> None:
        self.settings = Settings(data_dir=data_dir, crypto_path=path, settle_seconds=SETTLE, demo_seed=seed)
        self.seen, self.now = Seen(), 1000.0

    def tick(self, seconds: float = SETTLE) -> Decision:
        self.now += seconds
        decision = source.watch(self.settings, self.seen, self.now, busy=False)
        self.seen = Seen.model_validate_json(decision.seen.model_dump_json())
        return decision

    def settled(self) -> Decision:
        assert self.tick().run_key is None
        return self.tick()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "coins/a.csv", lines_of([1, 2]))
    return write(tmp_path / "coins/b.csv", lines_of([3, 4])).parent


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        (tmp_path / name).mkdir()
        write_assets(tmp_path / name, seed)
    one, two, three = (list(digests(tmp_path / name, "*").values()) for name in ("one", "two", "three"))

    assert one == two
    assert not set(one) & set(three)
    assert len(one) == 2


def test_generated_prices_are_those_of_a_restless_random_walk(tmp_path: Path) -> None:
    write_assets(tmp_path, 7)
    days, prices = np.loadtxt(tmp_path / "alder.csv", str, delimiter=",", skiprows=1, usecols=(0, 1)).T
    returns = np.diff(np.log(prices.astype(float)))

    assert len(days) == len(set(days)) == DAYS
    assert 0.02 < returns.std() < 0.08
    assert abs(np.corrcoef(returns[1:], returns[:-1])[0, 1]) < 0.1
    assert np.corrcoef(abs(returns[1:]), abs(returns[:-1]))[0, 1] > 0.1, "its volatility has a memory"


def refresh(settings: Settings) -> Manifest:
    """As the asset does it, were it only that."""
    return source.refresh(settings, Layout(settings.data_dir).crypto_manifest)


def test_a_refresh_of_the_demo_makes_its_files_and_no_litter(tmp_path: Path) -> None:
    manifest = refresh(Settings(data_dir=tmp_path))
    again = refresh(Settings(data_dir=tmp_path))

    assert [file.symbol for file in manifest.files] == ["alder", "beacon"]
    assert (manifest.source, manifest.version) == ("demo", again.version)
    assert {file.rows for file in manifest.files} == {DAYS, DAYS + 1}
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["crypto-demo", "crypto.json"]
    assert litter(tmp_path) == []


def test_a_file_or_a_folder_gives_its_assets(tmp_path: Path, folder: Path) -> None:
    write(folder / ".hidden.csv", [])
    write(folder / "c.CSV", lines_of([5]))
    (folder / "notes.txt").write_text("x")

    of_folder = refresh(Settings(data_dir=tmp_path / "data", crypto_path=folder))
    of_file = refresh(Settings(data_dir=tmp_path / "data", crypto_path=folder / "b.csv"))
    layout = Layout(tmp_path / "data")

    assert [file.symbol for file in of_folder.files] == ["a", "b", "c"]
    assert [file.symbol for file in of_file.files] == ["b"]
    assert all((of_folder.folder(layout) / file.file).exists() for file in of_folder.files)


def test_a_new_file_is_one_request_once_it_rests(tmp_path: Path, folder: Path) -> None:
    sensor = Sensor(tmp_path / "data", folder)
    refresh(sensor.settings)
    assert sensor.settled().reason == "the source holds what is published"

    write(folder / "c.csv", lines_of([5]))
    assert sensor.tick().run_key is None
    assert sensor.tick(SETTLE - 1).run_key is None
    assert sensor.tick(1).run_key is not None
    assert sensor.tick().run_key is None


def test_a_file_that_was_only_touched_starts_nothing(tmp_path: Path, folder: Path) -> None:
    sensor = Sensor(tmp_path / "data", folder)
    refresh(sensor.settings)
    sensor.settled()
    rest()
    (folder / "a.csv").touch()

    assert sensor.settled().reason == "the source holds what is published"


def test_the_demo_in_place_of_files_is_a_change_and_so_is_another_seed(tmp_path: Path, folder: Path) -> None:
    refresh(Settings(data_dir=tmp_path / "data", crypto_path=folder))
    demo = Sensor(tmp_path / "data", None)
    assert demo.settled().run_key is not None

    refresh(demo.settings)
    assert Sensor(tmp_path / "data", None).settled().reason == "the source holds what is published"
    assert Sensor(tmp_path / "data", None, seed=8).settled().run_key is not None


def test_a_missing_path_is_a_reason_to_wait(tmp_path: Path) -> None:
    decision = Sensor(tmp_path, tmp_path / "nowhere").tick()

    assert (decision.run_key, decision.seen) == (None, Seen())
    assert decision.reason.endswith("nowhere: there is no such file or folder")


def test_the_sensor_requests_the_crypto_job(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"DATA_DIR": tmp_path / "data", "CRYPTO_PATH": folder, "SETTLE_SECONDS": 0}.items():
        monkeypatch.setenv(f"STOCK_ASSETS_{name}", str(value))
    sensor, cursor, requests = crypto_sensor(load_settings()), None, []
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(3):
            with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
                data = sensor.evaluate_tick(context)
            cursor, requests = data.cursor, [*requests, *(data.run_requests or [])]

    assert (sensor.name, sensor.job_name, len(requests)) == ("crypto_changed", "crypto_refresh", 1)
