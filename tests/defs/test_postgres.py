"""Dagster with its runs in a real PostgreSQL server, and the experiments in another database of that."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from stock_assets.experiments import read_experiments
from stock_assets.layout import Layout
from stock_assets.settings import Settings
from tests.conftest import price_text
from tests.helpers import (
    COMMAND,
    child_environment,
    folder_settings,
    in_force,
    letter_files,
    litter,
    query,
    row_balance,
    stock_assets,
    tables_differ,
    write_constant_volume,
)
from tests.postgres import PASSWORD, USER, Server, postgres
from tests.test_concurrency import start
from tests.test_dev import BACKFILL_STATUS, Dev, dev, ended, launch_backfill, wait_for

pytestmark = pytest.mark.slow

INSTANCE_FILE = Path(__file__).parents[2] / "deploy" / "dagster.yaml"
SETTLE = 5
PATIENCE = 300.0
"""Seconds within which anything happens, also on a machine that is busy with something else."""
SCHEMA = """
SELECT table_name, column_name, data_type, (SELECT version_num FROM alembic_version)
FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"""


@dataclass(frozen=True)
class Team:
    """A market, its data folder, and the server that has the rest."""

    server: Server
    market: Path
    layout: Layout
    variables: dict[str, str]

    @property
    def runs(self) -> dict[str, dg.DagsterRun]:
        with in_force(self.variables), dg.DagsterInstance.from_config(self.variables["DAGSTER_HOME"]) as instance:
            return {run.run_id: run for run in instance.get_runs()}

    @property
    def statuses(self) -> list[str]:
        return [run.status.value for run in self.runs.values()]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """With the data published by two commands that were started at once on nothing."""
    root = tmp_path_factory.mktemp("postgres")
    market, data_dir, home = write_constant_volume(root / "market"), root / "data", root / "home"
    home.mkdir()
    shutil.copy(INSTANCE_FILE, home)
    with postgres() as server:
        for name in ("dagster", "experiments"):
            server.execute(f"CREATE DATABASE {name}")
        variables = folder_settings(data_dir, market, automation=True, poll_seconds=5, settle_seconds=SETTLE)
        variables |= {"STOCK_ASSETS_EXPERIMENTS_URL": server.url("experiments"), "DAGSTER_HOME": str(home)}
        variables |= dagster_variables(server)
        team = Team(server, market, Layout(data_dir), variables)
        run_twice_at_once(team, root)
        yield team


def dagster_variables(server: Server) -> dict[str, str]:
    """What deploy/dagster.yaml asks for."""
    values = {"HOST": "127.0.0.1", "PORT": server.port, "USER": USER, "PASSWORD": PASSWORD, "DB": "dagster"}
    return {f"DAGSTER_POSTGRES_{name}": str(value) for name, value in values.items()}


def run_twice_at_once(team: Team, folder: Path) -> None:
    with ExitStack() as stack:
        runs = [stack.enter_context(start(team.variables, folder)) for _ in range(2)]
        outputs = [run.communicate(timeout=PATIENCE) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert [stderr for _, stderr in outputs] == ["", ""]


def test_two_commands_at_once_leave_one_state_and_two_runs(team: Team) -> None:
    read, kept, quarantined = row_balance(team.layout.database)
    assert read == kept + quarantined == 7200
    for table in ("combined", "features"):
        assert tables_differ(team.layout.data_dir, table) == 0
    assert litter(team.layout.data_dir) == []
    assert team.statuses == ["SUCCESS", "SUCCESS"]
    # Neither history nor experiments went anywhere else.
    assert not team.layout.dagster_home.exists()
    assert not team.layout.experiments.exists()
    assert list(Path(team.variables["DAGSTER_HOME"]).rglob("*.db")) == []


def test_experiments_are_in_their_own_database(team: Team) -> None:
    settings = Settings(
        data_dir=team.layout.data_dir, experiments_url=SecretStr(team.variables["STOCK_ASSETS_EXPERIMENTS_URL"])
    )
    assert {one.run_id for one in read_experiments(settings)} <= set(team.runs)
    assert {"volume_model", "next_day_model"} <= {one.model for one in read_experiments(settings)}
    tables = team.server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", "experiments")
    assert tables == [["experiments"]]


def test_migrating_again_changes_nothing(team: Team) -> None:
    before = team.server.execute(SCHEMA, "dagster")
    assert len(before) > 100
    for _ in range(2):
        command = [str(Path(COMMAND).with_name("dagster")), "instance", "migrate"]
        subprocess.run(command, env=child_environment(team.variables), check=True, capture_output=True, timeout=60)
    assert team.server.execute(SCHEMA, "dagster") == before
    assert team.statuses[-2:] == ["SUCCESS", "SUCCESS"]


def test_a_server_that_refuses_or_is_away_is_one_line(team: Team, tmp_path: Path) -> None:
    wrong = {
        "DAGSTER_POSTGRES_PASSWORD": ("wrong-sekret", f'password authentication failed for user "{USER}"'),
        "DAGSTER_POSTGRES_PORT": ("9", "Connection refused"),
        "DAGSTER_POSTGRES_DB": ("nothing", 'database "nothing" does not exist'),
    }
    with ExitStack() as stack:
        runs = {
            said: stack.enter_context(start(team.variables | {name: value}, tmp_path, "--select", "raw_files"))
            for name, (value, said) in wrong.items()
        }
        for said, run in runs.items():
            stdout, stderr = run.communicate(timeout=PATIENCE)
            assert (run.returncode, stdout) == (1, "")
            (line,) = stderr.splitlines()
            assert line.startswith(
                f"stock-assets: the Dagster instance in DAGSTER_HOME {team.variables['DAGSTER_HOME']}"
            )
            assert said in line
            assert "sekret" not in line


def test_a_variable_that_is_not_set_is_named(team: Team, tmp_path: Path) -> None:
    variables = {name: value for name, value in team.variables.items() if name != "DAGSTER_POSTGRES_PASSWORD"}
    process = stock_assets("run", variables=variables, cwd=tmp_path)

    (line,) = process.stderr.splitlines()
    assert "wants the environment variable DAGSTER_POSTGRES_PASSWORD, which is not set" in line


def test_a_restart_of_the_server_under_a_run_is_survived(team: Team, tmp_path: Path) -> None:
    with start(team.variables, tmp_path) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if "combined: started" in line:
                break
        assert run.poll() is None, "it is under way"
        team.server.stop()
        time.sleep(2)
        team.server.start()
        stdout, stderr = run.communicate(timeout=PATIENCE)
    assert (run.returncode, stderr) == (0, ""), stdout
    assert team.statuses[0] == "SUCCESS"


def test_dumps_of_both_databases_bring_everything_back(team: Team, tmp_path: Path) -> None:
    for name in ("dagster", "experiments"):
        team.server.execute(f"CREATE DATABASE {name}_again")
        dump, programs = str(tmp_path / name), team.server.programs
        subprocess.run([programs / "pg_dump", "--format=custom", f"--file={dump}", team.server.url(name)], check=True)
        restored = team.server.url(f"{name}_again")
        subprocess.run([programs / "pg_restore", "--no-owner", f"--dbname={restored}", dump], check=True)

    again = replace(team, variables=team.variables | {"DAGSTER_POSTGRES_DB": "dagster_again"})
    assert again.runs == team.runs
    settings = [Settings(experiments_url=SecretStr(team.server.url(f"experiments{end}"))) for end in ("", "_again")]
    assert read_experiments(settings[0]) == read_experiments(settings[1]) != []


@pytest.fixture(scope="module")
def running(team: Team) -> Iterator[Dev]:
    with dev(team.layout.data_dir.parent, team.variables) as running:
        yield running


def test_a_backfill_of_some_letters_is_one_run(team: Team, running: Dev) -> None:
    before, runs = letter_files(team.layout.data_dir, "features"), set(team.runs)
    for letter in "CD":
        team.layout.parquet("features", letter).unlink()
    backfill = launch_backfill(running, "CDE")
    assert wait_for(lambda: ended(running, BACKFILL_STATUS, backfill), PATIENCE) in {"COMPLETED", "COMPLETED_SUCCESS"}

    (run,) = (run for run_id, run in team.runs.items() if run_id not in runs)
    assert (run.status.value, run.tags["dagster/backfill"]) == ("SUCCESS", backfill)
    after = letter_files(team.layout.data_dir, "features")
    assert {letter for letter in after if after[letter] != before[letter]} == {"C", "D"}
    assert {letter: file[0] for letter, file in after.items()} == {letter: file[0] for letter, file in before.items()}


def test_a_new_file_starts_one_run_of_the_daemon(team: Team, running: Dev) -> None:
    runs = set(team.runs)
    (team.market / "stocks/NEW.csv").write_text(price_text(80))
    wait_for(lambda: set(team.runs) - runs, PATIENCE)
    wait_for(lambda: all(run.is_finished for run in team.runs.values()), PATIENCE)

    (run,) = (run for run_id, run in team.runs.items() if run_id not in runs)
    assert (run.job_name, run.status.value) == ("full_refresh", "SUCCESS")
    assert run.tags["dagster/sensor_name"] == "source_changed"
    assert query(team.layout.database, "SELECT count(*) FROM combined WHERE \"Symbol\" = 'NEW'") == [(80,)]
