"""Experiments in a real PostgreSQL server, which the test starts and stops."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from stock_assets.errors import UserError
from stock_assets.experiments import Experiment, read_experiments, record
from stock_assets.settings import Settings
from tests.helpers import child_environment
from tests.postgres import QUOTED, Server, postgres

pytestmark = pytest.mark.slow

APPEND = """
import sys
from stock_assets.experiments import Experiment, record
from stock_assets.settings import load_settings
metrics = {"test": {"mae": 1.5}}
for number in range(20):
    record(load_settings(), [Experiment("a-run", sys.argv[1], str(number), {}, "d", "c", metrics, True, "")])
"""
READ = """
from stock_assets.experiments import read_experiments
from stock_assets.settings import load_settings
for one in read_experiments(load_settings()):
    print(one.id, one.model, one.version, one.metrics["test"]["mae"], one.time.utcoffset())
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as server:
        yield server


def _start(script: str, url: str, folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    variables = {"STOCK_ASSETS_EXPERIMENTS_URL": url, "STOCK_ASSETS_DATA_DIR": str(folder / "data")}
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env=child_environment(variables),
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_trainings_append_at_once_and_another_process_reads(server: Server, tmp_path: Path) -> None:
    url = server.url()
    with _start(APPEND, url, tmp_path, "one") as one, _start(APPEND, url, tmp_path, "two") as two:
        one.communicate(timeout=60)
        two.communicate(timeout=60)
    assert (one.returncode, two.returncode) == (0, 0)

    with _start(READ, url, tmp_path) as reader:
        printed, _ = reader.communicate(timeout=60)
    rows = [line.split() for line in printed.splitlines()]
    for model in ("one", "two"):
        assert [version for _, name, version, *_ in rows if name == model] == [str(n) for n in range(19, -1, -1)]
    assert [int(row[0]) for row in rows] == list(range(40, 0, -1))
    assert {tuple(row[3:]) for row in rows} == {("1.5", "0:00:00")}
    assert not (tmp_path / "data" / "experiments.db").exists()


def test_a_user_who_may_only_insert_and_select_can_append(server: Server, tmp_path: Path) -> None:
    own = Settings(data_dir=tmp_path, experiments_url=SecretStr(server.url()))
    experiment = Experiment("a-run", "restricted", "v1", {}, "d", "c", {}, True, "")
    record(own, [experiment])
    server.execute("CREATE ROLE writer LOGIN PASSWORD 'w'")
    server.execute("GRANT SELECT, INSERT ON experiments TO writer")
    record(Settings(data_dir=tmp_path, experiments_url=SecretStr(server.url(login="writer:w"))), [experiment])

    assert len(read_experiments(own, "restricted")) == 2


@pytest.mark.parametrize(
    ("login", "name", "said"),
    [
        ("tester:wrong-sekret", "postgres", 'password authentication failed for user "tester"'),
        (f"tester:{QUOTED}", "nothing", 'database "nothing" does not exist'),
    ],
)
def test_a_server_that_refuses_is_told_in_one_line(
    server: Server, tmp_path: Path, login: str, name: str, said: str
) -> None:
    with pytest.raises(UserError) as failure:
        read_experiments(Settings(data_dir=tmp_path, experiments_url=SecretStr(server.url(name, login))))

    assert str(failure.value) == f"the database of STOCK_ASSETS_EXPERIMENTS_URL cannot be used: {said}"
