"""Times the service beside FastAPI's own ceiling and the published sample: `python -m benchmarks.serving`.

All run on this machine at the same time and are asked in turn, so that what else it does falls on each of them.
`--peers` adds MLflow, BentoML and MLServer, each installed for the run into an environment of its own.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pyarrow as pa
import requests
import typer
from rich.table import Table

from benchmarks.full_size import console
from benchmarks.load import CONNECTIONS, Load, Question, memory, put_load
from benchmarks.peers import install, peers
from benchmarks.servers import free_port, promote_version, publish, service, train, uvicorn, write_pickle

CEILING, SAMPLE, OURS = "FastAPI, a constant", "the published sample", "stock-assets"
QUERY = "predict?vol_moving_avg=12345&adj_close_rolling_med=25"
BATCH_ROWS = 100_000
BATCHES = 20


class Contestant(NamedTuple):
    """A server that runs: what it is asked, and its process."""

    name: str
    question: Question
    pid: int


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How often each is asked.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="How long each time.")] = 10,
    with_peers: Annotated[bool, typer.Option("--peers", help="Also MLflow, BentoML and MLServer.")] = False,
) -> None:
    """Requests a second, latency and memory of each, and batches of ours. Exit code 1 for any answer but 2xx."""
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as name, ExitStack() as running:
        folder = Path(name)
        contestants = start(folder, running, with_peers)
        loads: dict[str, list[Load]] = {one.name: [] for one in contestants}
        for _ in range(rounds):
            for one in contestants:
                loads[one.name].append(put_load(one.question, seconds))
        console.print(
            f"{rounds} rounds of {seconds:g} s, {CONNECTIONS} connections, one process each, "
            f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
        )
        console.print(comparison(contestants, loads))
        console.print(batches(next(one for one in contestants if one.name == OURS)))
    if failed := sum(load.failed for taken in loads.values() for load in taken):
        console.print(f"{failed:,} requests were not answered with 2xx", style="red")
        raise typer.Exit(1)


def start(folder: Path, running: ExitStack, with_peers: bool) -> list[Contestant]:
    """All servers with the same model. A peer that cannot be had is named with the reason, and left out."""
    model = train()
    write_pickle(model, folder / "model.pkl")
    model.booster_.save_model(folder / "model.txt")
    promote_version(folder / "data", publish(folder / "data", model.booster_))
    pickled = {"MODEL_PICKLE": str(folder / "model.pkl")}
    servers = {
        CEILING: lambda port, log: uvicorn("benchmarks.constant_service:app", port, log, {}),
        SAMPLE: lambda port, log: uvicorn("benchmarks.sample_service:app", port, log, pickled),
        OURS: lambda port, log: service(folder / "data", port, log),
    }
    found = []
    for name, serve in servers.items():
        port = free_port()
        process = running.enter_context(serve(port, folder / f"{port}.log"))
        found.append(Contestant(name, Question(f"http://127.0.0.1:{port}/{QUERY}"), process.pid))
    for peer in peers() if with_peers else ():
        place = folder / peer.name
        try:
            python = install(peer, place)
            question, process = peer.start(python, place, folder / "model.txt", running)
            found.append(Contestant(peer.name, question, process.pid))
        except (OSError, RuntimeError) as error:
            console.print(f"{peer.name} is left out: {error}", style="yellow")
    return found


def comparison(contestants: Sequence[Contestant], loads: dict[str, list[Load]]) -> Table:
    """Medians of the rounds, and their ratios to the ceiling and the sample."""
    table = Table("median of the rounds", "requests/s", "of the ceiling", "of the sample", "p99, ms", "memory, MB")
    for column in table.columns[1:]:
        column.justify = "right"
    rates = {name: statistics.median(load.rate for load in taken) for name, taken in loads.items()}
    for one in contestants:
        rate, resident = rates[one.name], memory(one.pid)
        p99 = statistics.median(load.p99 for load in loads[one.name])
        table.add_row(
            one.name,
            f"{rate:,.0f}",
            f"{rate / rates[CEILING]:.2f}",
            f"{rate / rates[SAMPLE]:.2f}",
            f"{p99:.1f}",
            "-" if resident is None else f"{resident:.0f}",
        )
    return table


def batches(ours: Contestant) -> Table:
    """Milliseconds of `POST /predict` with many rows, from the first byte sent to the last one read."""
    draw = np.random.default_rng(0)
    rows = pa.table(
        {"vol_moving_avg": draw.uniform(0, 1e7, BATCH_ROWS), "adj_close_rolling_med": draw.uniform(0, 500, BATCH_ROWS)}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    url, body = ours.question.url.partition("?")[0], sink.getvalue().to_pybytes()
    taken = []
    with requests.Session() as session:
        for _ in range(BATCHES):
            start = time.perf_counter()
            headers = {"Content-Type": "application/vnd.apache.arrow.stream"}
            response = session.post(url, data=body, headers=headers, timeout=60)
            taken.append(1000 * (time.perf_counter() - start))
            response.raise_for_status()
    with pa.ipc.open_stream(response.content) as reader:
        answered = reader.read_all()
    assert len(answered) == BATCH_ROWS  # noqa: S101 - else the figures are of something else
    table = Table(f"POST /predict, {BATCH_ROWS:,} rows as Arrow", "ms")
    table.add_row("median", f"{statistics.median(taken):.0f}")
    table.add_row(f"slowest of {BATCHES}", f"{max(taken):.0f}")
    return table


if __name__ == "__main__":
    typer.run(main)
