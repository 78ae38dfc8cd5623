"""A real S3 server: one monitor, one OSD in memory and a gateway of Ceph, all on loopback and in a temporary folder."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from tests.helpers import free_port

BINARIES = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
PATIENCE = 90.0
"""Seconds for a server to answer."""

CONFIGURATION = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{monitor}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
auth allow insecure global id reclaim = false
run dir = {folder}
log file = {folder}/$name.log
pid file = {folder}/$name.pid
admin socket = {folder}/$name.asok
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd memory target = 939524096
rgw frontends = beast endpoint=127.0.0.1:{gateway}
rgw thread pool size = 32
"""
RIGHTS = {
    "mon.": ["mon", "allow *"],
    "client.admin": ["mon", "allow *", "osd", "allow *", "mgr", "allow *"],
    "osd.0": ["mon", "allow profile osd", "osd", "allow *"],
    "client.rgw": ["mon", "allow rw", "osd", "allow rwx"],
}


@dataclass(frozen=True)
class Ceph:
    """A gateway that runs, and the key of its one user."""

    url: str
    key: str = "lake-key"
    secret: str = "lake-secret-12345"  # noqa: S105 - of a server that lives for this test

    def environment(self) -> dict[str, str]:
        """The variables of the standard AWS chain by which programs find the server and may use it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def make_bucket(self) -> str:
        """A new bucket; gives its `s3://` address."""
        name = f"lake-{uuid.uuid4().hex[:12]}"
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=name)
        client.close()
        return f"s3://{name}"


@contextmanager
def ceph() -> Iterator[Ceph]:
    """Start the server, and stop it at the end. Skips the test where Ceph is not installed."""
    missing = [name for name in BINARIES if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found (apt-get install ceph-mon ceph-osd radosgw)")
    # Below /tmp, since the path of a socket may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="ceph-") as name, ExitStack() as running:
        folder, gateway = Path(name), free_port()
        tool = _Tool(folder, folder / "ceph.conf")
        text = CONFIGURATION.format(fsid=uuid.uuid4(), folder=folder, monitor=free_port(), gateway=gateway)
        tool.configuration.write_text(text, "utf-8")
        _make_keys(tool)
        _make_monitor(tool, text)
        running.enter_context(tool.running("ceph-mon", "-i", "a"))
        _make_osd(tool)
        running.enter_context(tool.running("ceph-osd", "-i", "0"))
        server = Ceph(f"http://127.0.0.1:{gateway}")
        running.enter_context(tool.running("radosgw", "-n", "client.rgw"))
        _await(tool, gateway)
        user = ("--uid=lake", "--display-name=lake", f"--access-key={server.key}", f"--secret-key={server.secret}")
        tool.run("radosgw-admin", "user", "create", *user)
        yield server


@dataclass(frozen=True)
class _Tool:
    """Runs Ceph's programs with one configuration."""

    folder: Path
    configuration: Path

    def run(self, program: str, *arguments: str) -> None:
        command = [program, *arguments]
        if program not in ("ceph-authtool", "monmaptool"):
            command += ["-c", str(self.configuration)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=self.folder)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"

    @contextmanager
    def running(self, program: str, *arguments: str) -> Iterator[None]:
        """A server in the foreground of a process group of its own, until the block ends."""
        command = [program, "-f", *arguments, "-c", str(self.configuration)]
        with (self.folder / f"{program}.out").open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder, start_new_session=True)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # nothing of it is needed any more
            process.wait(30)


def _make_keys(tool: _Tool) -> None:
    tool.run("ceph-authtool", "--create-keyring", "keyring")
    for name, rights in RIGHTS.items():
        caps = [part for what, right in zip(rights[::2], rights[1::2], strict=True) for part in ("--cap", what, right)]
        tool.run("ceph-authtool", "keyring", "--gen-key", "-n", name, *caps)


def _make_monitor(tool: _Tool, text: str) -> None:
    values = dict(line.split(" = ") for line in text.splitlines() if " = " in line)
    fsid, address = values["fsid"], values["mon host"]
    tool.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, "monmap")
    tool.run("ceph-mon", "-i", "a", "--mkfs", "--monmap", "monmap", "--keyring", "keyring")


def _make_osd(tool: _Tool) -> None:
    (tool.folder / "osd").mkdir()
    number = str(uuid.uuid4())
    tool.run("ceph", "osd", "new", number)
    tool.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", number)


def _await(tool: _Tool, port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < deadline, f"radosgw does not listen: {_logs(tool.folder)}"
        time.sleep(0.1)


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text("utf-8", "replace")[-500:] for path in folder.glob("*.out"))
