"""The cluster that the engine starts where no scheduler is named: whatever happens, it is gone afterwards."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stock_assets.layout import Layout
from tests.engines.clusters import wait_for
from tests.helpers import COMMAND, child_environment, processes_of

pytestmark = pytest.mark.slow

CHILD = """
import signal, sys, time
from stock_assets.engines.cluster import open_cluster
from stock_assets.settings import Settings

def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with open_cluster(Settings(threads=2), print) as cluster:
        print("up", sum(cluster.client.nthreads().values()), flush=True)
        if sys.argv[1] == "raise":
            raise ValueError("as it was asked to")
        time.sleep(0 if sys.argv[1] == "return" else 600)

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize(
    ("way", "code"),
    [
        ("return", 0),
        ("raise", 1),
        (signal.SIGINT, -signal.SIGINT),
        (signal.SIGTERM, -signal.SIGINT),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_it_ends_with_its_process(tmp_path: Path, way: str | signal.Signals, code: int) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script), str(way)],
        env=child_environment({"STOCK_ASSETS_DATA_DIR": str(tmp_path / "data")}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        lines = iter(process.stdout or ())
        assert next(line for line in lines if line.startswith("up")) == "up 2\n"
        if isinstance(way, signal.Signals):
            assert len(processes_of(tmp_path / "data")) >= 3
            process.send_signal(way)
        assert process.wait(60) == code
    wait_for(lambda: not processes_of(tmp_path / "data"))


def test_it_ends_with_a_run_that_is_stopped(own_copy: Layout, tmp_path: Path) -> None:
    for path in (own_copy.data_dir / "lake/next_day_features").rglob("*.parquet"):
        path.unlink()
    variables = {"DATA_DIR": str(own_copy.data_dir), "ENGINE": "dask", "THREADS": "2"}
    with subprocess.Popen(
        [COMMAND, "run", "--select", "next_day_features"],
        env=child_environment({f"STOCK_ASSETS_{name}": value for name, value in variables.items()}),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert next(line for line in process.stdout or () if "2 workers" in line)
        process.terminate()
        start = time.monotonic()
        process.wait(60)
    assert process.returncode not in (0, -signal.SIGKILL)
    assert time.monotonic() - start < 30
    wait_for(lambda: not processes_of(own_copy.data_dir))
