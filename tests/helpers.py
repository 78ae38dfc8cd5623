"""Shared by the tests that run the pipeline: settings of their own, small markets, child processes, fingerprints."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from stock_assets.cli import main
from stock_assets.ingest import demo
from stock_assets.ingest.inspection import CLOCK_TICK
from stock_assets.layout import PRICE_COLUMNS

COMMAND = str(Path(sys.executable).with_name("stock-assets"))
DEMO_FILES = 30
DEMO_START = date(2016, 1, 4)
SEEDS = (3, 5)
"""Markets as small as these have a test window of months; of these two the model beats its baseline by 6 % and more."""


def demo_settings(data_dir: Path, **others: object) -> dict[str, str]:
    """The variables of a demo market that is just large enough for a model that beats its baseline."""
    values = {"data_dir": data_dir, "demo_files": DEMO_FILES, "demo_start": DEMO_START, "demo_seed": SEEDS[0]}
    values |= {"threads": 1} | others
    return {f"STOCK_ASSETS_{name.upper()}": str(value) for name, value in values.items()}


def folder_settings(data_dir: Path, source_path: Path, **others: object) -> dict[str, str]:
    """The variables of a pipeline that reads price files where they stand."""
    return demo_settings(data_dir, source="folder", source_path=source_path, **others)


def _is_ours(name: str) -> bool:
    return name.startswith(("STOCK_ASSETS_", "DAGSTER_", "MLFLOW_"))


@contextmanager
def in_force(variables: dict[str, str]) -> Iterator[None]:
    """This process with these settings and none of the developer's, neither from the environment nor from `.env`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in filter(_is_ours, list(os.environ)):
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setenv("DAGSTER_HOME", variables.get("DAGSTER_HOME", ""))
        patch.chdir("/")
        yield


def child_environment(variables: dict[str, str]) -> dict[str, str]:
    """The environment of a child process, without the developer's settings."""
    return {name: value for name, value in os.environ.items() if not _is_ours(name)} | variables


def stock_assets(
    *arguments: str, variables: dict[str, str], cwd: Path, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """The command line in a child process; `cwd` is a folder without `.env`."""
    return subprocess.run(
        [COMMAND, *arguments],
        env=child_environment(variables),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def stock_assets_here(*arguments: str, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """The same in this process, without the seconds that a new one takes to load Dagster."""
    handler = signal.getsignal(signal.SIGTERM)
    with (
        in_force(variables),
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(StringIO()) as stdout,
        redirect_stderr(StringIO()) as stderr,
    ):
        patch.setattr(sys, "argv", ["stock-assets", *arguments])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            signal.signal(signal.SIGTERM, handler)
    return subprocess.CompletedProcess(list(arguments), code, stdout.getvalue(), stderr.getvalue())


def rest() -> None:
    """Until files that were just written are old enough for their times to tell a next change."""
    time.sleep(CLOCK_TICK / 1e9 * 1.2)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def write_demo(root: Path, seed: int, files: int = DEMO_FILES) -> Path:
    """A demo market as a folder of the user's."""
    root.mkdir(parents=True)
    demo.write_market(root, files, DEMO_START, seed, 1)
    return root


def write_constant_volume(root: Path, symbols: str = "ABCDEFGH", days: int = 900) -> Path:
    """Prices that move and volumes that never do, so that their moving average is right to the share."""
    (root / "stocks").mkdir(parents=True)
    dates = np.busday_offset("2015-01-05", np.arange(days), roll="forward")
    for place, symbol in enumerate(symbols, 1):
        prices = np.round(20 * place + np.sin(np.arange(days) / 9), 2)
        rows = (
            f"{day},{price},{price},{price},{price},{price},{1000 * place}"
            for day, price in zip(dates, prices, strict=True)
        )
        text = "\n".join((",".join(PRICE_COLUMNS), *rows)) + "\n"
        (root / "stocks" / f"{symbol}.csv").write_text(text, encoding="utf-8")
    return root


def count_csv_rows(root: Path) -> int:
    """Lines that are not blank after the header of every price file, counted as text."""
    files = [path.read_text(encoding="utf-8").splitlines() for path in root.glob("*/*.csv")]
    return sum(sum(1 for line in lines[1:] if line) for lines in files)


def digests(data_dir: Path, pattern: str = "lake/*/*/*.parquet") -> dict[str, str]:
    """SHA-256 of each file, by its path in the data folder."""
    paths = sorted(path for path in data_dir.glob(pattern) if path.is_file())
    return {str(path.relative_to(data_dir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def letter_files(data_dir: Path, table: str) -> dict[str, tuple[str, int]]:
    """SHA-256 and time of change, in nanoseconds, of each letter's Parquet file."""
    return {
        path.parent.name.removeprefix("letter="): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(data_dir.glob(f"lake/{table}/*/*.parquet"))
    }


def query(database: Path, statement: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(database), read_only=True, config={"threads": 1}) as connection:
        return connection.execute(statement).fetchall()


def table_hash(database: Path, table: str = "combined") -> tuple[int, int]:
    """Rows of a table and a hash over them that does not depend on their order."""
    ((rows, digest),) = query(database, f"SELECT count(*), coalesce(sum(hash(t)), 0) FROM {table} AS t")
    return int(rows), int(digest)


def row_balance(database: Path) -> tuple[int, int, int]:
    """Rows read by the manifest, rows of `combined`, and rows that `quarantine` stands for."""
    (row,) = query(
        database,
        """SELECT (SELECT sum("rows") FROM source_files), (SELECT count(*) FROM combined),
                  (SELECT coalesce(sum("rows"), 0) FROM quarantine)""",
    )
    return int(row[0]), int(row[1]), int(row[2])


def tables_differ(data_dir: Path, table: str) -> int:
    """Rows that only one of the database and the Parquet files has."""
    files = f"read_parquet('{data_dir}/lake/{table}/*/*.parquet', hive_types = {{'letter': VARCHAR}})"
    both = f"(FROM {table} EXCEPT ALL FROM {files}) UNION ALL (FROM {files} EXCEPT ALL FROM {table})"
    ((rows,),) = query(data_dir / "market.duckdb", f"SELECT count(*) FROM ({both})")
    return int(rows)


def litter(data_dir: Path) -> list[str]:
    """What is left of unfinished outputs; Dagster's own folder is not ours."""
    found = (path.relative_to(data_dir) for path in data_dir.rglob("*.tmp*"))
    return sorted(str(path) for path in found if path.parts[0] != "dagster")


def processes_of(data_dir: Path) -> dict[int, str]:
    """Command lines by process id of the running processes that were given this data folder."""
    wanted = f"STOCK_ASSETS_DATA_DIR={data_dir}".encode()
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (place / "environ").read_bytes().split(b"\0"):
                command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if command:
                    found[int(place.name)] = command
        except OSError:
            continue
    return found
