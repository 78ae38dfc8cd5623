"""Two workers on two hosts, which are network namespaces, beside one for the scheduler and this program."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from stock_assets.engines.engine import open_engine
from stock_assets.layout import Layout
from stock_assets.learning.fitting import Fit, Labelled
from stock_assets.learning.training import LOG_RATIO
from tests.engines.clusters import Cluster, dask_cluster, once_it_trains
from tests.engines.writing import by_letter, contents, litter, on_dask, write, write_here
from tests.helpers import child_environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root, and ip of iproute2"),
]

ROOT = Path(__file__).parent.parent.parent
NETWORK = "10.213.77"
TABLE = "next_day_features"
GOOD = 0.3
"""Mean absolute error of a model that has learned; of one that has not, it is 1.4."""


@dataclass(frozen=True)
class Hosts:
    """The namespace in the middle, and those of the hosts, which are `NETWORK`.2 and .3 and hang on its bridge."""

    hub: str
    hosts: tuple[str, str]

    @property
    def here(self) -> list[str]:
        return within(self.hub)

    def cut_off(self, place: int) -> None:
        """Nothing goes to the host any more, and nothing comes from it; nobody is told."""
        _ip("-n", self.hub, "link", "set", f"host{place}", "down")


def within(namespace: str) -> list[str]:
    return ["ip", "netns", "exec", namespace]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    mark = secrets.token_hex(3)
    with ExitStack() as stack:
        hub = stack.enter_context(_namespace(f"sa-{mark}-hub"))
        _ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        _up(hub, "bridge", 1)
        names = [stack.enter_context(_namespace(f"sa-{mark}-{place}")) for place in (0, 1)]
        for place, name in enumerate(names):
            _ip("-n", hub, "link", "add", f"host{place}", "type", "veth", "peer", "name", "net", "netns", name)
            _ip("-n", hub, "link", "set", f"host{place}", "master", "bridge", "up")
            _up(name, "net", 2 + place)
        yield Hosts(hub, (names[0], names[1]))


def _up(namespace: str, device: str, address: int) -> None:
    _ip("-n", namespace, "addr", "add", f"{NETWORK}.{address}/24", "dev", device)
    _ip("-n", namespace, "link", "set", device, "up")


@contextmanager
def _namespace(name: str) -> Iterator[str]:
    try:
        _ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr.decode().strip()}")
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        _ip("netns", "del", name)


@contextmanager
def _cluster(hosts: Hosts, folder: Path) -> Iterator[Cluster]:
    with dask_cluster(folder, workers=0, host=f"{NETWORK}.1", within=hosts.here) as cluster:
        for place, name in enumerate(hosts.hosts):
            cluster.start_worker(f"{NETWORK}.{2 + place}", within(name))
        yield cluster


def drive(data_dir: str, address: str, folder: str, work: str) -> None:
    """What runs in the namespace in the middle: features, or a training of so many trees, told of once it goes on."""
    layout = Layout(Path(data_dir))
    with open_engine(on_dask(layout, address), lambda line: print(line, flush=True)) as engine:
        if work == "features":
            write(layout, TABLE, by_letter(Path(folder)), engine)
        else:
            inputs = np.random.default_rng(1).normal(0, 1, (20_000, 3))
            fit = Fit(LOG_RATIO | {"num_threads": 1}, ("a", "b", "c"), int(work))
            with once_it_trains(address, lambda: print("it trains", flush=True)):
                booster = engine.train(fit, Labelled(inputs, inputs.sum(axis=1)), None)
            print("error", np.abs(booster.predict(inputs) - inputs.sum(axis=1)).mean(), flush=True)


def _driver(hosts: Hosts, arguments: Sequence[str]) -> "subprocess.Popen[str]":
    call = f"from tests.engines.test_hosts import drive; drive(*{list(arguments)!r})"
    return subprocess.Popen(
        [*hosts.here, sys.executable, "-c", call],
        env=child_environment({"PYTHONPATH": str(ROOT)}),
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_both_hosts_work_and_one_may_be_cut_off(demo: Layout, hosts: Hosts, tmp_path: Path) -> None:
    here, there = by_letter(tmp_path / "here"), by_letter(tmp_path / "there")
    write_here(demo, TABLE, here)
    with _cluster(hosts, tmp_path / "cluster") as cluster:
        arguments = [str(demo.data_dir), cluster.address, str(tmp_path / "there")]
        with _driver(hosts, [*arguments, "40"]) as trained:
            output = trained.communicate(timeout=120)[0]
        assert "2 workers" in output
        assert float(output.rpartition("error ")[2]) < GOOD

        with _driver(hosts, [*arguments, "features"]) as made:
            for line in made.stdout or ():
                if line.startswith("letter"):
                    hosts.cut_off(1)
            assert made.wait(180) == 0
    assert contents(there) == contents(here)
    assert litter(tmp_path / "there") == []


def test_a_host_cut_off_in_the_middle_has_the_training_begin_again(demo: Layout, hosts: Hosts, tmp_path: Path) -> None:
    with (
        _cluster(hosts, tmp_path / "cluster") as cluster,
        _driver(hosts, [str(demo.data_dir), cluster.address, "", "2500"]) as trained,
    ):
        for line in trained.stdout or ():
            if line == "it trains\n":
                hosts.cut_off(1)
                break
        output = trained.communicate(timeout=240)[0]
    assert "the training was broken off (lost tcp://" in output
    assert float(output.rpartition("error ")[2]) < GOOD
