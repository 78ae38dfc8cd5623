"""Several runs on one data folder: they take turns, and what they leave fits together."""

import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from stock_assets import registry
from tests.helpers import COMMAND, child_environment, demo_settings, litter, row_balance, stock_assets, tables_differ


def start(variables: dict[str, str], cwd: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [COMMAND, "run", *arguments],
        env=child_environment(variables),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_two_runs_at_once_leave_one_consistent_state(tmp_path: Path) -> None:
    data_dir, variables = tmp_path / "data", demo_settings(tmp_path / "data")
    runs = [start(variables, tmp_path) for _ in range(2)]
    try:
        outputs = [run.communicate(timeout=120) for run in runs]
    finally:
        for run in runs:
            run.kill()
            run.wait()
    codes = [run.returncode for run in runs]
    assert 0 in codes, outputs
    for code, (stdout, stderr) in zip(codes, outputs, strict=True):
        assert code in {0, 1}
        assert "Traceback" not in stdout + stderr
        assert len(stderr.splitlines()) == code
    read, kept, quarantined = row_balance(data_dir / "market.duckdb")
    assert read == kept + quarantined
    for table in ("combined", "features"):
        assert tables_differ(data_dir, table) == 0
    models = data_dir / "models" / "volume_model"
    pointer = registry.read_pointer(models)
    assert pointer is not None
    registry.verify(models, pointer)
    assert stock_assets("run", "--select", "raw_files", variables=variables, cwd=tmp_path).returncode == 0
    assert litter(data_dir) == []


def test_a_run_waits_for_another_writer_and_says_so(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    with FileLock(data_dir / "run.lock") as lock:
        run = start(demo_settings(data_dir), tmp_path, "--select", "raw_files")
        try:
            assert run.stdout is not None
            line = ""
            for line in run.stdout:
                if "another run" in line:
                    break
            assert line.strip() == f"another run is writing to {data_dir}: waiting up to 1800 s"
            assert not (data_dir / "raw").exists()
            lock.release()
            _, stderr = run.communicate(timeout=60)
        finally:
            run.kill()
            run.wait()
    assert (run.returncode, stderr) == (0, "")
    assert (data_dir / "raw" / "manifest.json").exists()


def test_a_run_gives_up_when_the_time_is_over(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    with FileLock(data_dir / "run.lock"):
        process = stock_assets("run", variables=demo_settings(data_dir, lock_timeout=1), cwd=tmp_path, timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in process.stdout + process.stderr
    (line,) = process.stderr.splitlines()
    assert line.startswith(f"stock-assets: another run still holds {data_dir}/run.lock after 1 s: ")
    assert not (data_dir / "raw").exists()
