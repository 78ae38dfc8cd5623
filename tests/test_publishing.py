"""Publish by rename: the old output or the new one, litter that goes, and writers that take turns."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.publishing import exclusive, scratch, staged, staged_folder, staging, sweep, write_json
from tests.conftest import write_market

HOLD = """
import sys, time
from pathlib import Path
from stock_assets.layout import Layout
from stock_assets.publishing import exclusive

with exclusive(Layout(Path(sys.argv[1])), 0, print):
    print("held", flush=True)
    time.sleep(60)
"""


class StoppedError(Exception):
    """Stands for whatever goes wrong while an output is built."""


def tree(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text("utf-8") for path in root.rglob("*") if path.is_file()}


def test_a_staged_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "new-folder" / "out.json"
    for text in ("old", "new"):
        with staged(path) as temporary:
            assert temporary.parent == path.parent
            temporary.write_text(text, "utf-8")

    assert tree(tmp_path) == {"new-folder/out.json": "new"}


def test_the_old_file_is_there_until_the_block_ends(tmp_path: Path) -> None:
    write_market(tmp_path, {"out": "old"})
    with staged(tmp_path / "out") as temporary:
        temporary.write_text("new", "utf-8")
        assert (tmp_path / "out").read_text("utf-8") == "old"


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    write_market(tmp_path, {"out": "old"})

    def stop_halfway() -> None:
        with staged(tmp_path / "out") as temporary:
            temporary.write_text("half", "utf-8")
            raise StoppedError

    with pytest.raises(StoppedError):
        stop_halfway()

    assert tree(tmp_path) == {"out": "old"}


@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_what_is_left_in_scratch_goes(tmp_path: Path, kind: str) -> None:
    with scratch(tmp_path / "out") as temporary:
        if kind == "file":
            temporary.touch()
        if kind == "folder":
            write_market(temporary, {"deep/er": "x"})

    assert list(tmp_path.iterdir()) == []


def test_many_are_published_together(tmp_path: Path) -> None:
    paths = [tmp_path / name / "part" for name in "abc"]
    with staging() as stage:
        copies = [stage(path) for path in paths]
        for number, copy in enumerate(copies):
            copy.write_text(str(number), "utf-8")
        assert tree(tmp_path).keys() == {str(copy.relative_to(tmp_path)) for copy in copies}

    assert tree(tmp_path) == {"a/part": "0", "b/part": "1", "c/part": "2"}


def test_many_are_all_old_after_a_failure(tmp_path: Path) -> None:
    write_market(tmp_path, {"a": "old", "b": "old"})

    def stop_halfway() -> None:
        with staging() as stage:
            stage(tmp_path / "a").write_text("new", "utf-8")
            stage(tmp_path / "b")
            raise StoppedError

    with pytest.raises(StoppedError):
        stop_halfway()

    assert tree(tmp_path) == {"a": "old", "b": "old"}


def test_an_output_that_got_empty_is_removed(tmp_path: Path) -> None:
    write_market(tmp_path, {"a": "old", "b": "old"})
    with staging() as stage:
        stage(tmp_path / "a").write_text("new", "utf-8")
        stage(tmp_path / "b")

    assert tree(tmp_path) == {"a": "new"}


def test_sweep_removes_the_litter_and_nothing_else(tmp_path: Path) -> None:
    litter = [
        "market.duckdb.0a1b2c3d.tmp",
        "duckdb.tmp/spilled",
        "raw/snapshot.0a1b2c3d.tmp/stocks/A.csv",
        "raw/manifest.json.0a1b2c3d.tmp",
        "lake/combined/letter=A/part-0.parquet.0a1b2c3d.tmp",
        "lake/features/letter=0/part-0.parquet.0a1b2c3d.tmp",
        "models/volume_model/new-version.0a1b2c3d.tmp/model.txt",
        "models/volume_model/latest.json.0a1b2c3d.tmp",
    ]
    kept = {
        "market.duckdb": "",
        "run.lock": "",
        "raw/manifest.json": "",
        "raw/0123456789abcdef/stocks/TMP.csv": "",
        "raw/0123456789abcdef/stocks/mine.tmp": "",
        "lake/combined/letter=A/part-0.parquet": "",
        "models/volume_model/latest.json": "",
        "models/volume_model/20200101T000000-01234567/model.txt": "",
        "dagster/storage/a.tmp": "",
    }
    write_market(tmp_path, dict.fromkeys(litter, "") | kept)

    sweep(tmp_path)

    assert tree(tmp_path) == kept
    assert not (tmp_path / "duckdb.tmp").exists()


def test_sweep_follows_no_link(tmp_path: Path) -> None:
    write_market(tmp_path, {"elsewhere/kept": "x", "data/run.lock": ""})
    (tmp_path / "data" / "link.tmp").symlink_to(tmp_path / "elsewhere")

    sweep(tmp_path / "data")

    assert tree(tmp_path) == {"elsewhere/kept": "x", "data/run.lock": ""}


def test_json_is_published_whole_or_not(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "Ä"})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"mae": float("nan")})

    assert tree(tmp_path) == {"a.json": '{\n "name": "Ä"\n}\n'}


def test_holding_the_folder_makes_it_and_sweeps_it(layout: Layout) -> None:
    write_market(layout.data_dir, {"market.duckdb.0a1b2c3d.tmp": ""})
    with exclusive(layout, 0, print):
        assert [path.name for path in layout.data_dir.iterdir()] == ["run.lock"]


def test_a_second_writer_says_that_it_waits_and_then_gives_up(layout: Layout) -> None:
    said: list[str] = []

    def write() -> None:
        with exclusive(layout, 0.2, said.append):
            pytest.fail("two writers at once")

    with (
        exclusive(layout, 0, said.append),
        ThreadPoolExecutor(1) as pool,
        pytest.raises(UserError) as failure,
    ):
        pool.submit(write).result()

    assert said == [f"another run is writing to {layout.data_dir}: waiting up to 0 s"]
    assert str(layout.lock) in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_writer_may_hold_the_folder_for_several_steps_of_its_own(layout: Layout) -> None:
    with exclusive(layout, 0, pytest.fail):
        for _ in range(2):
            with exclusive(layout, 0, pytest.fail):
                pass
        with ThreadPoolExecutor(1) as pool, pytest.raises(UserError):
            pool.submit(exclusive(layout, 0, str).__enter__).result()


def test_a_second_writer_goes_on_when_the_first_is_done(layout: Layout) -> None:
    waiting = threading.Event()
    order: list[str] = []

    def second() -> None:
        with exclusive(layout, 20, lambda _: waiting.set()):
            order.append("second")

    thread = threading.Thread(target=second)
    with exclusive(layout, 0, order.append):
        thread.start()
        assert waiting.wait(20)
        order.append("first")
    thread.join(20)

    assert order == ["first", "second"]


def test_the_folder_is_free_after_a_failure(layout: Layout) -> None:
    with pytest.raises(StoppedError), exclusive(layout, 0, print):
        raise StoppedError
    with exclusive(layout, 0, pytest.fail):
        pass


def test_the_folder_is_free_after_its_holder_is_killed(layout: Layout) -> None:
    command = [sys.executable, "-c", HOLD, str(layout.data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another run still holds"), exclusive(layout, 0, print):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with exclusive(layout, 0, pytest.fail):
            pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    write_market(tmp_path, {"file": ""})
    with (
        pytest.raises(UserError, match=r"cannot write to the data folder .*; .*STOCK_ASSETS_DATA_DIR"),
        exclusive(Layout(tmp_path / "file" / "data"), 0, print),
    ):
        pass


def test_a_folder_takes_the_place_of_another_one_with_all_that_is_in_it(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with staged_folder(tmp_path / "sub" / "place") as folder:
            (folder / content).write_text(content)

    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["place"]
    assert [path.name for path in (tmp_path / "sub" / "place").iterdir()] == ["new"]


def test_a_folder_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "place") as folder:
        (folder / "old").touch()
    with pytest.raises(FileNotFoundError), staged_folder(tmp_path / "place") as folder:
        (folder / "no folder" / "new").touch()

    assert [path.name for path in tmp_path.rglob("*")] == ["place", "old"]
