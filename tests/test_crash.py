"""Runs killed at chosen moments: a reader finds the old state or the new one, and the next run mends the rest."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from stock_assets import registry
from stock_assets.ingest.snapshot import read_manifest
from stock_assets.layout import LETTERS, Layout
from tests.helpers import (
    DEMO_FILES,
    SEEDS,
    child_environment,
    digests,
    folder_settings,
    letter_files,
    litter,
    row_balance,
    stock_assets,
    table_hash,
    write_demo,
)

pytestmark = pytest.mark.slow

CHILD = """
import os, signal, sys, threading, time

data_dir, trace, kill_at, delay = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
log = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
reached = threading.Event()
events = 0

def kill_later():
    reached.wait()
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGKILL)

def watch(event, arguments):
    global events
    if event not in {"open", "os.rename", "os.remove", "os.mkdir"}:
        return
    path = arguments[1] if event == "os.rename" else arguments[0]
    path = path if isinstance(path, int) else os.fspath(path)
    if not isinstance(path, str) or not path.startswith(data_dir + "/") or path.startswith(data_dir + "/dagster"):
        return
    os.write(log, f"{time.monotonic()} {event} {path[len(data_dir) + 1:]}\\n".encode())
    if events == kill_at and not delay:
        os.kill(os.getpid(), signal.SIGKILL)
    if events == kill_at:
        reached.set()
    events += 1

threading.Thread(target=kill_later, daemon=True).start()
from stock_assets.cli import main
sys.addaudithook(watch)
sys.argv = ["stock-assets", "run"]
main()
"""
"""A run that ends itself right before its `kill_at`-th change or opening of a file, or `delay` seconds after it."""

NEVER = -1


@dataclass(frozen=True)
class Trace:
    """What an uninterrupted run does to the files of its data folder: seconds and event, in order."""

    seconds: list[float]
    events: list[str]

    @classmethod
    def read(cls, path: Path) -> "Trace":
        lines = [line.split(" ", 1) for line in path.read_text().splitlines()]
        return cls([float(seconds) for seconds, _ in lines], [_without_chance(event) for _, event in lines])

    def at(self, event: str) -> int:
        return self.events.index(event)

    def longest_pauses(self) -> list[int]:
        """Events by the time that passes after them without another one, the longest first."""
        pauses = [after - before for before, after in zip(self.seconds, self.seconds[1:], strict=False)]
        return sorted(range(len(pauses)), key=pauses.__getitem__, reverse=True)


def _without_chance(event: str) -> str:
    event = re.sub(r"\.[0-9a-f]{8}\.tmp", ".tmp", event)
    return re.sub(r"\d{8}T\d{12}-[0-9a-f]{8}", "VERSION", event)


@dataclass(frozen=True)
class State:
    """What readers may find: the rows of `combined`, each letter's Parquet files, and the model."""

    combined: tuple[int, int]
    parquet: dict[str, dict[str, str]]
    model: str

    @classmethod
    def of(cls, data_dir: Path) -> "State":
        models = data_dir / "models" / "volume_model"
        pointer = registry.read_pointer(models)
        assert pointer is not None
        registry.verify(models, pointer)
        read, kept, quarantined = row_balance(data_dir / "market.duckdb")
        assert read == kept + quarantined
        parquet = {
            table: {letter: digest for letter, (digest, _) in letter_files(data_dir, table).items()}
            for table in ("combined", "features")
        }
        return cls(table_hash(data_dir / "market.duckdb"), parquet, pointer.sha256)


@dataclass(frozen=True)
class Worlds:
    """The state of data set 1, where its data folder is, that of data set 2, and the run that leads there."""

    root: Path
    old: State
    new: State
    trace: Trace


def run_until(data_dir: Path, source: Path, kill_at: int = NEVER, delay: float = 0) -> int:
    """Run on `source` in a session of its own; gives the exit code, -9 for a kill."""
    arguments = [str(data_dir), str(data_dir.with_name("trace")), str(kill_at), str(delay)]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        env=child_environment(folder_settings(data_dir, source)),
        cwd=source,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            return process.wait(120)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    """Data set 2 has other prices in every file, and lacks the one symbol of letter Z."""
    root = tmp_path_factory.mktemp("crash")
    write_demo(root / "source1", SEEDS[0])
    source = write_demo(root / "source2", SEEDS[1])
    (gone,) = source.glob("*/Z*.csv")
    gone.unlink()
    assert run_until(root / "data", root / "source1") == 0
    shutil.copytree(root / "data", root / "finished" / "data")
    assert run_until(root / "finished" / "data", source) == 0
    worlds = Worlds(
        root, State.of(root / "data"), State.of(root / "finished" / "data"), Trace.read(root / "finished" / "trace")
    )
    _assert_worlds_differ(worlds)
    return worlds


def _assert_worlds_differ(worlds: Worlds) -> None:
    assert worlds.old.combined != worlds.new.combined
    assert worlds.old.model != worlds.new.model
    for table in ("combined", "features"):
        old, new = worlds.old.parquet[table], worlds.new.parquet[table]
        assert set(old) - set(new) == {"Z"}
        assert len(old) == DEMO_FILES - 5
        assert all(old[letter] != new[letter] for letter in new)


@pytest.fixture
def data_dir(worlds: Worlds, tmp_path: Path) -> Path:
    """A data folder of the test's own in the old state."""
    return Path(shutil.copytree(worlds.root / "data", tmp_path / "data"))


Place = Callable[[Trace], tuple[int, float]]


def before(event: str) -> Place:
    return lambda trace: (trace.at(event), 0)


def after(event: str) -> Place:
    """Right after an event is right before the next one: in between nothing happens to files."""
    return lambda trace: (trace.at(event) + 1, 0)


def in_pause(rank: int) -> Place:
    """In the middle of a long computation: DuckDB's statements and LightGBM's training open nothing from Python."""

    def place(trace: Trace) -> tuple[int, float]:
        index = trace.longest_pauses()[rank]
        return index, max(0.001, (trace.seconds[index + 1] - trace.seconds[index]) / 2)

    return place


def in_pause_before(event: str) -> Place:
    """In the middle of the computation that ends with this event."""

    def place(trace: Trace) -> tuple[int, float]:
        index = trace.at(event) - 1
        return index, max(0.001, (trace.seconds[index + 1] - trace.seconds[index]) / 2)

    return place


def parquet(table: str, letter: str) -> str:
    return f"lake/{table}/letter={letter}/part-0.parquet"


DATABASE = "os.rename market.duckdb"
CLOSED = "os.remove market.duckdb.tmp.wal"
"""The database is written and closed; the renames come next."""
MODEL_FOLDER = "os.rename models/volume_model/VERSION"
CANDIDATE = "os.rename models/volume_model/candidates/linear"
"""Right before it the candidate has no folder: the old one has been moved aside."""
POINTER = "os.rename models/volume_model/latest.json"

POINTS: dict[str, Place] = {
    "at the start": lambda _: (0, 0),
    "before the raw manifest": before("os.rename raw/manifest.json"),
    "after the raw manifest": after("os.rename raw/manifest.json"),
    "before the database": before(DATABASE),
    "before the first letter of features": before(f"os.rename {parquet('features', '0')}"),
    "after the last letter of features": after(f"os.remove {parquet('features', 'Z')}"),
    "while a candidate is written": before("open models/volume_model/candidates/linear.tmp/model.pkl"),
    "before a candidate's folder": before(CANDIDATE),
    "while the model is written": before("open models/volume_model/new-version.tmp/model.pkl"),
    "before the version's folder": before(MODEL_FOLDER),
    "after the version's folder": after(MODEL_FOLDER),
    "before the pointer": before(POINTER),
    "after the pointer": after(POINTER),
    "amid the tables": in_pause_before(CLOSED),
    "amid the features": in_pause_before(f"os.rename {parquet('features', '0')}"),
    "in the longest computation": in_pause(0),
    "in the second longest": in_pause(1),
}


def assert_readable(data_dir: Path, worlds: Worlds) -> State:
    """Everything can be read, and each part is of the old state or of the new one, letter by letter."""
    found = State.of(data_dir)
    assert found.combined in (worlds.old.combined, worlds.new.combined)
    assert found.model in (worlds.old.model, worlds.new.model)
    for table, files in found.parquet.items():
        for letter in LETTERS:
            known = (worlds.old.parquet[table].get(letter), worlds.new.parquet[table].get(letter))
            assert files.get(letter) in known
    read_manifest(Layout(data_dir))
    assert_versions_complete(data_dir / "models" / "volume_model")
    return found


def assert_versions_complete(folder: Path) -> None:
    for manifest in (path for path in folder.rglob("manifest.json") if ".tmp" not in str(path)):
        named = json.loads(manifest.read_text())["files"]
        found = digests(manifest.parent, "**/*")
        del found["manifest.json"]
        assert found == named


@pytest.mark.parametrize("place", POINTS.values(), ids=POINTS)
def test_a_killed_run_leaves_old_or_new(worlds: Worlds, data_dir: Path, place: Place) -> None:
    assert run_until(data_dir, worlds.root / "source2", *place(worlds.trace)) == -signal.SIGKILL
    found = assert_readable(data_dir, worlds)
    for table, files in found.parquet.items():
        assert files in (worlds.old.parquet[table], worlds.new.parquet[table])


LITTERING: dict[str, Place] = {
    "amid the tables": in_pause_before(CLOSED),
    "before the letters": before(f"os.rename {parquet('combined', '0')}"),
    "while the model is written": POINTS["while the model is written"],
    "before a candidate's folder": before(CANDIDATE),
}

COMBINED_WINDOW: dict[str, Place] = {
    "after the database": after(DATABASE),
    "amid the letters": before(f"os.rename {parquet('combined', 'M')}"),
    "before the last letter": before(f"os.remove {parquet('combined', 'Z')}"),
}
FEATURES_WINDOW = before(f"os.rename {parquet('features', 'M')}")
"""The letters of a table are renamed one right after the other; these kills come in between."""


@pytest.mark.parametrize("place", COMBINED_WINDOW.values(), ids=COMBINED_WINDOW)
def test_a_kill_amid_the_renames_of_combined_leaves_each_letter_old_or_new(
    worlds: Worlds, data_dir: Path, place: Place
) -> None:
    assert run_until(data_dir, worlds.root / "source2", *place(worlds.trace)) == -signal.SIGKILL
    found = assert_readable(data_dir, worlds)
    assert (found.combined, found.model) == (worlds.new.combined, worlds.old.model)
    assert found.parquet["features"] == worlds.old.parquet["features"]


def test_the_next_run_mends_a_kill_amid_the_renames_of_features(worlds: Worlds, data_dir: Path) -> None:
    source = worlds.root / "source2"
    assert run_until(data_dir, source, *FEATURES_WINDOW(worlds.trace)) == -signal.SIGKILL
    found = assert_readable(data_dir, worlds)
    assert (found.combined, found.model) == (worlds.new.combined, worlds.old.model)
    assert found.parquet["combined"] == worlds.new.parquet["combined"]
    process = stock_assets("run", variables=folder_settings(data_dir, source), cwd=source)
    assert (process.returncode, process.stderr) == (0, "")
    assert State.of(data_dir) == worlds.new
    assert litter(data_dir) == []


def test_the_next_run_mends_a_kill_between_two_candidates(worlds: Worlds, data_dir: Path) -> None:
    source = worlds.root / "source2"
    assert run_until(data_dir, source, *before(CANDIDATE)(worlds.trace)) == -signal.SIGKILL
    assert assert_readable(data_dir, worlds).model == worlds.old.model
    assert not (data_dir / "models/volume_model/candidates/linear").exists()
    process = stock_assets("run", variables=folder_settings(data_dir, source), cwd=source)
    assert (process.returncode, process.stderr) == (0, "")
    assert State.of(data_dir) == worlds.new
    assert litter(data_dir) == []


@pytest.mark.parametrize("place", LITTERING.values(), ids=LITTERING)
def test_the_next_run_removes_the_litter_of_a_killed_one(worlds: Worlds, data_dir: Path, place: Place) -> None:
    source = worlds.root / "source2"
    assert run_until(data_dir, source, *place(worlds.trace)) == -signal.SIGKILL
    assert litter(data_dir) != []
    variables = folder_settings(data_dir, source)
    assert stock_assets("run", "--select", "raw_files", variables=variables, cwd=source).returncode == 0
    assert litter(data_dir) == []
