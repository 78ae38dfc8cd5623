"""Asks a service one question after the other and prints how long the answers took: `python -m benchmarks.latency`.

Any address will do that answers to `vol_moving_avg` and `adj_close_rolling_med` in its query.
"""

import random
import time
from typing import Annotated
from urllib.parse import urlencode

import requests
import typer
from rich.table import Table

from benchmarks.full_size import console

PERCENTILES = (50, 90, 99, 100)


def main(
    url: Annotated[str, typer.Argument(help="Address of the endpoint.")] = "http://127.0.0.1:8000/predict",
    count: Annotated[int, typer.Option("--requests", min=1, help="How many, each after the answer before.")] = 100,
) -> None:
    """Time sequential requests over one connection, with drawn inputs. Exit code 1 for any answer but 200."""
    draw = random.Random(0)  # noqa: S311 - a benchmark needs no secrets
    seconds, wrong = [], 0
    with requests.Session() as session:
        for _ in range(count):
            inputs = {"vol_moving_avg": draw.randrange(10_000_000), "adj_close_rolling_med": draw.randrange(500)}
            start = time.perf_counter()
            status = session.get(f"{url}?{urlencode(inputs)}", timeout=60).status_code
            seconds.append(time.perf_counter() - start)
            wrong += status != 200
    seconds.sort()
    table = Table(f"{count} requests, one after the other", "ms")
    table.add_row("mean", f"{1000 * sum(seconds) / count:.2f}")
    for percentile in PERCENTILES:
        name = "max" if percentile == 100 else f"p{percentile}"
        table.add_row(name, f"{1000 * seconds[-(-percentile * count // 100) - 1]:.2f}")
    console.print(table)
    if wrong:
        console.print(f"{wrong} were not answered with 200", style="red")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
