"""A real PostgreSQL server on this machine, for as long as a test module needs it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pg8000.dbapi
import pytest

from tests.helpers import free_port

USER = "tester"
PASSWORD = "se kret@1%"  # noqa: S105 - of a server that lives for this test
QUOTED = "se%20kret%401%25"


@dataclass(frozen=True)
class Server:
    """A server on 127.0.0.1; `tester` is its superuser, with `PASSWORD`."""

    port: int
    programs: Path
    user: list[str]
    folder: Path

    def url(self, database: str = "postgres", login: str = f"{USER}:{QUOTED}") -> str:
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run a statement by itself, outside of any transaction; gives its rows, if it has any."""
        with closing(pg8000.dbapi.connect(USER, "127.0.0.1", database, self.port, PASSWORD)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c fsync=off"
        self.call("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self.call("pg_ctl", "-w", "-m", "immediate", "stop")

    def call(self, program: str, *arguments: str) -> None:
        """Run one of the programs that work on the server's own folder."""
        command = [*self.user, str(self.programs / program), "-D", str(self.folder / "data"), *arguments]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, timeout=60)


@contextmanager
def postgres() -> Iterator[Server]:
    """The server, running; skips the test where there is none to be had."""
    programs, user, port = _programs(), _user(), free_port()
    # Not below pytest's folder, which belongs to whoever runs the tests alone.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD + "\n", "utf-8")
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        server = Server(port, programs, user, folder)
        server.call("initdb", "-U", USER, f"--pwfile={folder}/password", "-A", "scram-sha-256", "--no-sync")
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _programs() -> Path:
    """The folder of `initdb` and `pg_ctl`; Debian has it outside of PATH."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin"), *(Path(p).parent for p in [shutil.which("initdb")] if p)]
    if not found:
        pytest.skip("there is no PostgreSQL server (Debian: apt-get install postgresql)")
    return found[0]


def _user() -> list[str]:
    """How to run its programs, which refuse to be run by root."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("the tests run as root, and there is no user postgres to run the server")
    return ["runuser", "-u", "postgres", "--"]
