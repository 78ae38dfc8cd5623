"""A copy of the data folder, and what is made of it again."""

import gzip
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from fastapi.testclient import TestClient
from filelock import FileLock

from serving.app import create_app
from stock_assets.backup import back_up, restore
from stock_assets.errors import UserError
from stock_assets.experiments import read_experiments
from stock_assets.settings import Settings
from tests.helpers import demo_settings, digests, in_force, letter_files, litter, stock_assets, stock_assets_here
from tests.test_concurrency import start

KEPT = {
    "models/volume_model/latest.json": "{}",
    "models/volume_model/20261120/model.txt": "tree",
    "lake/restatements/a-b.parquet": "restated",
    "lake/next_day_forecasts/part-0.parquet": "forecasts",
    "raw/manifest.json": "{}",
    "logs/pipeline.jsonl": "{}\n",
    "dagster/dagster.yaml": "telemetry: {enabled: false}\n",
}
MADE_AGAIN = {
    "raw/f00/stocks/A.csv": "Date\n",
    "market.duckdb": "database",
    "lake/combined/letter=A/part-0.parquet": "rows",
}
LEFT_OUT = {"run.lock": "", "lake/combined/letter=A/part-0.parquet.0a.tmp": "half", "dagster/prepare.lock": ""}


def write(data_dir: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = data_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data folder with one file of each kind."""
    write(tmp_path / "data", KEPT | MADE_AGAIN | LEFT_OUT)
    return Settings(data_dir=tmp_path / "data", lock_timeout=0.2)


def other(settings: Settings) -> Settings:
    return settings.model_copy(update={"data_dir": settings.data_dir.with_name("other") / "data"})


def contents(data_dir: Path) -> dict[str, str]:
    paths = [path for path in data_dir.rglob("*") if path.is_file() and path.name != "run.lock"]
    return {str(path.relative_to(data_dir)): path.read_text("utf-8") for path in paths}


def silent(_: str) -> None:
    pass


@pytest.mark.parametrize(("tables", "expected"), [(True, KEPT | MADE_AGAIN), (False, KEPT)])
def test_what_is_copied_comes_back(settings: Settings, tmp_path: Path, tables: bool, expected: dict[str, str]) -> None:
    file = tmp_path / "copies" / "copy.tar"
    written = back_up(settings, file, silent, tables=tables)
    (other(settings).data_dir / "logs" / "predictions").mkdir(parents=True)  # as in a new volume of a container
    restored = restore(other(settings), file, silent)

    assert contents(other(settings).data_dir) == expected
    for name in expected:
        before, after = ((folder.data_dir / name).stat() for folder in (settings, other(settings)))
        assert (after.st_mode, round(after.st_mtime)) == (before.st_mode, round(before.st_mtime))
    assert written.sizes == restored.sizes
    assert sum(written.sizes.values()) == sum(map(len, expected.values()))
    assert list(file.parent.iterdir()) == [file]


def test_a_database_that_is_written_to_is_copied_as_of_a_moment(settings: Settings, tmp_path: Path) -> None:
    """What is in its log only is in the copy; what is not committed is not."""
    with closing(sqlite3.connect(settings.data_dir / "experiments.db", isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = wal")
        writer.execute("CREATE TABLE t (x)")
        writer.execute("INSERT INTO t VALUES (1)")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO t VALUES (2)")
        back_up(settings, tmp_path / "copy.tar", silent)
    restore(other(settings), tmp_path / "copy.tar", silent)

    assert [path.name for path in other(settings).data_dir.glob("experiments.db*")] == ["experiments.db"]
    with closing(sqlite3.connect(other(settings).data_dir / "experiments.db")) as reader:
        assert reader.execute("SELECT x FROM t").fetchall() == [(1,)]


def test_what_lies_on_another_disk_is_copied_too(settings: Settings, tmp_path: Path) -> None:
    write(tmp_path / "disk", {"volume_model/latest.json": "pointer", "big.parquet": "rows"})
    (settings.data_dir / "linked").symlink_to(tmp_path / "disk")
    (settings.data_dir / "one").symlink_to(tmp_path / "disk" / "big.parquet")

    back_up(settings, tmp_path / "copy.tar", silent)
    other = Settings(data_dir=tmp_path / "again")
    restore(other, tmp_path / "copy.tar", silent)
    there = contents(other.data_dir)
    assert (there["linked/volume_model/latest.json"], there["one"]) == ("pointer", "rows")


def test_no_copy_is_made_while_a_run_writes(settings: Settings, tmp_path: Path) -> None:
    with FileLock(settings.data_dir / "run.lock"), pytest.raises(UserError, match="another run still holds"):
        back_up(settings, tmp_path / "copy.tar", silent)
    assert not (tmp_path / "copy.tar").exists()


def test_a_copy_that_fails_leaves_the_one_before(settings: Settings, tmp_path: Path) -> None:
    back_up(settings, tmp_path / "copy.tar", silent)
    before = (tmp_path / "copy.tar").read_bytes()
    (settings.data_dir / "experiments.db").write_text("no database at all" * 100, "utf-8")

    with pytest.raises(UserError, match=r"copy\.tar cannot be made: file is not a database"):
        back_up(settings, tmp_path / "copy.tar", silent)
    assert (tmp_path / "copy.tar").read_bytes() == before


def test_what_a_killed_copy_left_goes_with_the_next_one(settings: Settings, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    write(copies, {"copy.tar.0a1b2c3d.tmp": "half", "copy.tar.0a1b2c3d.tmp.4e5f6a7b.tmp": "a database", "mine.tmp": ""})
    back_up(settings, copies / "copy.tar", silent)
    assert {path.name for path in copies.iterdir()} == {"copy.tar", "mine.tmp"}


def test_a_compressed_copy_comes_back_too(settings: Settings, tmp_path: Path) -> None:
    back_up(settings, tmp_path / "copy.tar", silent)
    (tmp_path / "copy.tar.gz").write_bytes(gzip.compress((tmp_path / "copy.tar").read_bytes()))
    restore(other(settings), tmp_path / "copy.tar.gz", silent)
    assert contents(other(settings).data_dir) == KEPT | MADE_AGAIN


def test_a_place_that_makes_no_sense_is_told(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is in the data folder itself"):
        back_up(settings, settings.data_dir / "copy.tar", silent)
    with pytest.raises(UserError, match="there is no data folder"):
        back_up(other(settings), tmp_path / "copy.tar", silent)
    back_up(settings, tmp_path / "copy.tar", silent)
    with pytest.raises(UserError, match=r"data has \S+ in it: empty it first"):
        restore(settings, tmp_path / "copy.tar", silent)


def _broken(folder: Path) -> Iterator[Path]:
    whole = (folder / "copy.tar").read_bytes()
    with tarfile.open(folder / "copy.tar") as archive:
        third = archive.getmembers()[2].offset
    for name, content in (("half.tar", whole[: third + 700]), ("between.tar", whole[:third]), ("none.tar", b"")):
        (folder / name).write_bytes(content)
        yield folder / name
    with tarfile.open(folder / "hostile.tar", "w") as archive:
        archive.add(folder / "none.tar", "../outside")
    yield folder / "hostile.tar"
    (folder / "link").symlink_to("/etc")
    with tarfile.open(folder / "link.tar", "w") as archive:
        archive.add(folder / "link", "models")
    yield folder / "link.tar"
    yield folder / "missing.tar"


def test_a_file_that_is_no_whole_copy_leaves_the_folder_empty(settings: Settings, tmp_path: Path) -> None:
    back_up(settings, tmp_path / "copy.tar", silent)
    for file in _broken(tmp_path):
        with pytest.raises(UserError, match=f"{file.name} cannot be restored: "):
            restore(other(settings), file, silent)
        assert contents(other(settings).data_dir) == {}
    assert not (tmp_path / "outside").exists()


def predicted(data_dir: Path) -> tuple[int, str, int]:
    """An answer of the service, the version that gave it, and how many forecasts it has."""
    with TestClient(create_app(Settings(data_dir=data_dir))) as client:
        answer = client.get("/predict?vol_moving_avg=12345&adj_close_rolling_med=25")
        return answer.json(), answer.headers["X-Model-Version"], len(client.get("/forecasts?top=1000").json())


def history(data_dir: Path) -> tuple[list[str], list[str]]:
    """The runs in Dagster's history, and the versions of the experiments."""
    with dg.DagsterInstance.from_config(str(data_dir / "dagster")) as instance:
        runs = [run.run_id for run in instance.get_runs()]
    return runs, [one.version for one in read_experiments(Settings(data_dir=data_dir))]


@pytest.mark.slow
def test_a_copy_beside_a_run_is_whole_and_goes_on_where_it_was(tmp_path: Path) -> None:
    variables = demo_settings(tmp_path / "data")
    assert stock_assets_here("run", variables=variables).returncode == 0
    with start(variables | {"STOCK_ASSETS_DEMO_SEED": "5"}, tmp_path) as run:
        assert run.stdout is not None
        assert "raw_files: started\n" in iter(run.stdout.readline, "")
        copying = stock_assets("backup", "copy.tar", variables=variables, cwd=tmp_path)
        run.communicate(timeout=120)
    assert (run.returncode, copying.returncode, copying.stderr) == (0, 0, "")
    waited, written = copying.stdout.splitlines()
    assert waited.startswith("another run is writing to ")
    assert written.startswith("written copy.tar: ")

    again = demo_settings(tmp_path / "again")
    assert stock_assets("restore", "copy.tar", variables=again, cwd=tmp_path).returncode == 0
    assert litter(tmp_path / "again") == []
    assert digests(tmp_path / "again", "models/**/*") == digests(tmp_path / "data", "models/**/*")
    assert letter_files(tmp_path / "again", "features").keys() == letter_files(tmp_path / "data", "features").keys()
    assert predicted(tmp_path / "again") == predicted(tmp_path / "data")
    assert history(tmp_path / "again") == history(tmp_path / "data")
    assert len(history(tmp_path / "again")[0]) == 2

    goes_on = stock_assets_here("run", variables=again | {"STOCK_ASSETS_DEMO_SEED": "5"})
    assert "letters that were up to date │ 25" in " ".join(goes_on.stdout.split())
    assert "8 (0 trained)" in goes_on.stdout


@pytest.mark.slow
def test_a_copy_without_tables_serves_at_once_and_a_run_makes_them(tmp_path: Path) -> None:
    variables, again = demo_settings(tmp_path / "data"), demo_settings(tmp_path / "again")
    assert stock_assets_here("run", variables=variables).returncode == 0
    with in_force(variables):
        back_up(Settings(), tmp_path / "copy.tar", silent, tables=False)
    with in_force(again):
        restore(Settings(), tmp_path / "copy.tar", silent)
    assert predicted(tmp_path / "again") == predicted(tmp_path / "data")
    assert not (tmp_path / "again" / "market.duckdb").exists()

    made = stock_assets_here("run", variables=again)
    assert (made.returncode, made.stderr) == (0, "")
    for table in ("combined", "features"):
        files = letter_files(tmp_path / "again", table)
        assert {letter: file[0] for letter, file in files.items()} == {
            letter: file[0] for letter, file in letter_files(tmp_path / "data", table).items()
        }
    assert predicted(tmp_path / "again") == predicted(tmp_path / "data")
