"""The command line in processes of its own: what is printed, and with which exit code it ends."""

import os
import pty
import re
import signal
import socket
import subprocess
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from stock_assets.learning.candidates import NAMES
from tests.helpers import (
    COMMAND,
    child_environment,
    demo_settings,
    folder_settings,
    free_port,
    litter,
    stock_assets,
    stock_assets_here,
)

WIDE = {"COLUMNS": "200"}


@dataclass(frozen=True)
class Done:
    data_dir: Path
    process: subprocess.CompletedProcess[str]

    @property
    def table(self) -> dict[str, str]:
        """The closing table, by the name of each line."""
        cells = [line.split("│") for line in self.process.stdout.splitlines() if line.count("│") == 3]
        return {name.strip(): value.strip() for _, name, value, _ in cells}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run of everything on a small market."""
    folder = tmp_path_factory.mktemp("cli")
    return Done(folder / "data", stock_assets("run", variables=demo_settings(folder / "data") | WIDE, cwd=folder))


def test_run_ends_with_a_table_of_what_it_made(done: Done) -> None:
    assert (done.process.returncode, done.process.stderr) == (0, "")
    table = done.table
    assert table["files"] == "30 (2 quarantined)"
    numbers = [int(table[f"rows {name}"].replace(",", "")) for name in ("read", "kept", "quarantined")]
    assert numbers[0] == numbers[1] + numbers[2] > 20_000
    assert numbers[2] == 6
    assert (table["symbols"], table["letters"]) == ("28", "25")
    assert re.fullmatch(r"\d{8}T\d{12}-[0-9a-f]{8} \(trained, promoted\)", table["model version"])
    assert re.fullmatch(r"\+\d+\.\d+% of its mean absolute error", table["skill against vol_moving_avg"])
    assert table["candidates"] == "8 (8 trained)"
    best, _, skill = table["best on the test window"].partition(" ")
    assert best in NAMES
    assert float(skill.strip("()%")) >= float(table["skill against vol_moving_avg"].partition("%")[0])
    assert table["best on validation"] in ("lightgbm_log_ratio", "lightgbm_raw", "constant_multiple")
    prediction = table["prediction for vol_moving_avg=12345, adj_close_rolling_med=25"]
    assert re.fullmatch(r"\d{1,3}(,\d{3})* shares", prediction)
    for asset in ("raw_files", "combined", "features", "volume_model"):
        assert float(table[f"seconds for {asset}"]) > 0


def test_run_tells_its_progress(done: Done) -> None:
    lines = done.process.stdout.splitlines()
    for asset in ("raw_files", "combined", "features", "volume_model"):
        assert f"{asset}: started" in lines
        assert any(re.fullmatch(rf"{asset}: done in [\d.]+ s", line) for line in lines)
    assert any(line.startswith("features: letter C: 1 of 1 symbols") for line in lines)


def test_the_run_is_in_the_instance_of_the_data_folder(done: Done) -> None:
    with dg.DagsterInstance.from_config(str(done.data_dir / "dagster")) as instance:
        (run,) = instance.get_runs()
    assert (run.run_id, run.job_name, run.status) == (done.table["run"], "full_refresh", dg.DagsterRunStatus.SUCCESS)


def test_run_without_model_prints_no_model_lines(tmp_path: Path) -> None:
    variables = demo_settings(tmp_path / "data") | WIDE
    process = stock_assets_here("run", "--select", "raw_files", variables=variables)
    assert (process.returncode, process.stderr) == (0, "")
    assert set(Done(tmp_path / "data", process).table) == {"run", "seconds for raw_files"}


def _empty_folder(root: Path) -> dict[str, str]:
    (root / "prices").mkdir()
    return folder_settings(root / "data", root / "prices")


def _text_file(root: Path) -> dict[str, str]:
    (root / "prices.csv").write_text("Date,Open\n")
    return folder_settings(root / "data", root / "prices.csv")


def _cut_zip(root: Path) -> dict[str, str]:
    with zipfile.ZipFile(root / "prices.zip", "w") as archive:
        archive.writestr("stocks/A.csv", "Date,Open,High,Low,Close,Adj Close,Volume\n" * 100)
    content = (root / "prices.zip").read_bytes()
    (root / "prices.zip").write_bytes(content[: len(content) // 2])
    return folder_settings(root / "data", root / "prices.zip")


def _data_dir_below_a_file(root: Path) -> dict[str, str]:
    (root / "file").write_text("")
    return demo_settings(root / "file" / "data")


def _home_below_a_file(root: Path) -> dict[str, str]:
    (root / "file").write_text("")
    return demo_settings(root / "data") | {"DAGSTER_HOME": str(root / "file" / "home")}


def _broken_instance(root: Path) -> dict[str, str]:
    home = root / "data" / "dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text("foo: [")
    return demo_settings(root / "data")


WRONG: dict[str, tuple[Callable[[Path], dict[str, str]], str]] = {
    "unknown source": (lambda root: demo_settings(root, source="ftp"), "STOCK_ASSETS_SOURCE=ftp"),
    "no number": (lambda root: demo_settings(root, demo_files="many"), "STOCK_ASSETS_DEMO_FILES=many"),
    "too few files": (lambda root: demo_settings(root, demo_files=29), "STOCK_ASSETS_DEMO_FILES=29"),
    "no date": (lambda root: demo_settings(root, demo_start="soon"), "STOCK_ASSETS_DEMO_START=soon"),
    "negative time": (lambda root: demo_settings(root, lock_timeout=-1), "STOCK_ASSETS_LOCK_TIMEOUT=-1"),
    "memory without unit": (lambda root: demo_settings(root, memory_limit="4"), "STOCK_ASSETS_MEMORY_LIMIT=4"),
    "shares leave no test window": (
        lambda root: demo_settings(root / "data", train_share=0.7, validation_share=0.5),
        "STOCK_ASSETS_VALIDATION_SHARE",
    ),
    "no source path": (lambda root: demo_settings(root, source="folder"), "STOCK_ASSETS_SOURCE_PATH"),
    "missing folder": (
        lambda root: folder_settings(root / "data", root / "nowhere"),
        "STOCK_ASSETS_SOURCE_PATH={root}/nowhere",
    ),
    "folder without files": (_empty_folder, "{root}/prices has no CSV file"),
    "text file for a zip": (_text_file, "{root}/prices.csv is not a sound zip"),
    "cut zip": (_cut_zip, "{root}/prices.zip is not a sound zip"),
    "data folder below a file": (_data_dir_below_a_file, "{root}/file/data"),
    "broken dagster.yaml": (_broken_instance, "DAGSTER_HOME {root}/data/dagster cannot be used"),
    "memory for nothing": (
        lambda root: demo_settings(root / "data", memory_limit="1KB"),
        "combined: Out of Memory Error: ",
    ),
    "DAGSTER_HOME below a file": (_home_below_a_file, "DAGSTER_HOME {root}/file/home"),
}


def assert_stopped_in_one_line(process: "subprocess.CompletedProcess[str]", named: str) -> None:
    assert process.returncode == 1
    assert "Traceback" not in process.stdout + process.stderr
    (line,) = process.stderr.splitlines()
    assert line.startswith("stock-assets: ")
    assert named in line


@pytest.mark.parametrize(("prepare", "named"), WRONG.values(), ids=WRONG)
def test_wrong_settings_are_one_line(tmp_path: Path, prepare: Callable[[Path], dict[str, str]], named: str) -> None:
    assert_stopped_in_one_line(stock_assets_here("run", variables=prepare(tmp_path)), named.format(root=tmp_path))


@pytest.mark.parametrize("case", ["unknown source", "missing folder", "data folder below a file"])
def test_wrong_settings_are_one_line_of_a_process(tmp_path: Path, case: str) -> None:
    prepare, named = WRONG[case]
    process = stock_assets("run", variables=prepare(tmp_path), cwd=tmp_path)
    assert_stopped_in_one_line(process, named.format(root=tmp_path))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--letters", "CF"), "--letters CF"),
        (("--letters", "F-C"), "--letters F-C"),
        (("--letters", "A-"), "--letters A-"),
        (("--letters", "Ä"), "--letters Ä"),
        (("--select", "prices"), "--select prices"),
        (("--select", "features and"), "--select features and"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path: Path, arguments: tuple[str, str], named: str) -> None:
    process = stock_assets_here("run", *arguments, variables=demo_settings(tmp_path / "data"))
    assert_stopped_in_one_line(process, f"stock-assets: {named}: ")


def test_help_lists_the_commands() -> None:
    process = stock_assets_here("--help", variables={})
    assert process.returncode == 0
    for command in ("run", "doctor", "dev"):
        assert re.search(rf"^\W*{command} ", process.stdout, re.MULTILINE)


def _doctor(folder: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    ports = {"dagster_port": free_port(), "serving_port": free_port()}
    variables = demo_settings(**({"data_dir": folder / "data"} | ports | settings)) | WIDE
    return stock_assets_here("doctor", variables=variables)


def test_doctor_is_content(tmp_path: Path) -> None:
    process = _doctor(tmp_path)
    assert (process.returncode, process.stderr) == (0, "")
    assert "✗" not in process.stdout
    assert "demo, 30 files" in process.stdout
    assert not (tmp_path / "data").exists()


def test_doctor_tells_of_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = _doctor(tmp_path, serving_port=port)
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in process.stdout


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"source": "folder", "source_path": "/nowhere"}, "set STOCK_ASSETS_SOURCE_PATH"),
        ({"source": "folder"}, "set STOCK_ASSETS_SOURCE_PATH"),
        ({"demo_files": "many"}, "STOCK_ASSETS_DEMO_FILES=many"),
    ],
    ids=["missing folder", "no folder", "no number"],
)
def test_doctor_tells_of_wrong_settings(tmp_path: Path, settings: dict[str, str], told: str) -> None:
    process = _doctor(tmp_path, **settings)
    assert process.returncode == 1
    assert "Traceback" not in process.stdout + process.stderr
    assert told in process.stdout


def test_doctor_tells_of_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = _doctor(tmp_path, data_dir=tmp_path / "file" / "data")
    assert process.returncode == 1
    assert "Traceback" not in process.stdout + process.stderr
    assert f"{tmp_path}/file cannot be written" in process.stdout


def test_doctor_tells_of_a_variable_that_is_no_setting(tmp_path: Path) -> None:
    process = _doctor(tmp_path, sorce="folder")
    assert process.returncode == 1
    assert "STOCK_ASSETS_SORCE" in process.stdout


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_leaves_no_litter(tmp_path: Path, sent: signal.Signals) -> None:
    data_dir = tmp_path / "data"
    variables = child_environment(demo_settings(data_dir, demo_files=2000))
    with subprocess.Popen(
        [COMMAND, "run"], env=variables, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith("raw_files: generated"):
                break
        run.send_signal(sent)
        _, stderr = run.communicate(timeout=60)
    assert run.returncode == 130
    assert stderr == "stock-assets: stopped; what was published before is unchanged\n"
    assert litter(data_dir) == []


def test_on_a_terminal_there_is_a_bar_in_place_of_lines(tmp_path: Path) -> None:
    """A run whose standard output is a pseudo-terminal."""
    reader, writer = pty.openpty()
    variables = child_environment(demo_settings(tmp_path / "data")) | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen([COMMAND, "run", "--select", "raw_files"], env=variables, cwd=tmp_path, stdout=writer) as run:
        os.close(writer)
        shown = b""
        with suppress(OSError):  # the end of a terminal that nobody writes to any more
            while chunk := os.read(reader, 65536):
                shown += chunk
        os.close(reader)
    text = shown.decode()

    assert run.returncode == 0
    assert "━" in text
    assert "raw_files: started" not in text
    assert "seconds for raw_files" in text
