"""Experiments in a real PostgreSQL server, which the test starts and stops."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pg8000.dbapi
import pytest
from pydantic import SecretStr

from stock_assets.errors import UserError
from stock_assets.experiments import Experiment, read_experiments, record
from stock_assets.settings import Settings
from tests.helpers import child_environment, free_port

pytestmark = pytest.mark.slow

PASSWORD = "se kret@1%"  # noqa: S105 - of a server that lives for this test
QUOTED = "se%20kret%401%25"
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


def _programs() -> Path:
    """The folder of `initdb` and `pg_ctl`; Debian has it outside of PATH."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin"), *(Path(p).parent for p in [shutil.which("initdb")] if p)]
    if not found:
        pytest.skip("there is no PostgreSQL server (Debian: apt-get install postgresql)")
    return found[-1]


def _user() -> list[str]:
    """How to run its programs, which refuse to be run by root."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("the tests run as root, and there is no user postgres to run the server")
    return ["runuser", "-u", "postgres", "--"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address `host:port/name` of a server with the user `tester`."""
    programs, user, port = _programs(), _user(), free_port()
    # Not below pytest's folder, which belongs to whoever runs the tests alone.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD + "\n", "utf-8")
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")

        def call(program: str, *arguments: str) -> None:
            command = [*user, str(programs / program), "-D", str(folder / "data"), *arguments]
            subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=60)

        call("initdb", "-U", "tester", f"--pwfile={folder}/password", "-A", "scram-sha-256", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "-w", "-m", "immediate", "stop")


def _start(script: str, url: str, folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    variables = {"STOCK_ASSETS_EXPERIMENTS_URL": url, "STOCK_ASSETS_DATA_DIR": str(folder / "data")}
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env=child_environment(variables),
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_trainings_append_at_once_and_another_process_reads(server: str, tmp_path: Path) -> None:
    url = f"postgresql://tester:{QUOTED}@{server}"
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


def test_a_user_who_may_only_insert_and_select_can_append(server: str, tmp_path: Path) -> None:
    own = Settings(data_dir=tmp_path, experiments_url=SecretStr(f"postgresql://tester:{QUOTED}@{server}"))
    experiment = Experiment("a-run", "restricted", "v1", {}, "d", "c", {}, True, "")
    record(own, [experiment])
    address, _, name = server.partition("/")
    host, _, port = address.partition(":")
    with closing(pg8000.dbapi.connect("tester", host, name, int(port), PASSWORD)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("CREATE ROLE writer LOGIN PASSWORD 'w'")
        cursor.execute("GRANT SELECT, INSERT ON experiments TO writer")
    record(Settings(data_dir=tmp_path, experiments_url=SecretStr(f"postgresql://writer:w@{server}")), [experiment])

    assert len(read_experiments(own, "restricted")) == 2


@pytest.mark.parametrize(
    ("user", "name", "said"),
    [
        ("tester:wrong-sekret", "postgres", 'password authentication failed for user "tester"'),
        (f"tester:{QUOTED}", "nothing", 'database "nothing" does not exist'),
    ],
)
def test_a_server_that_refuses_is_told_in_one_line(
    server: str, tmp_path: Path, user: str, name: str, said: str
) -> None:
    url = f"postgresql://{user}@{server.removesuffix('postgres')}{name}"
    with pytest.raises(UserError) as failure:
        read_experiments(Settings(data_dir=tmp_path, experiments_url=SecretStr(url)))

    assert str(failure.value) == f"the database of STOCK_ASSETS_EXPERIMENTS_URL cannot be used: {said}"
