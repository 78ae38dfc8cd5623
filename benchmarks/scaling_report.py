"""Writes what `benchmarks.scaling` found into `docs/scaling.md`: the tables between its markers, and the pictures.

The text around them is written by hand.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.minute_bars import DAYS, WORKERS, Cluster, Prices, estimate, per_row, shared
from benchmarks.scaling_pictures import memory_picture, time_picture
from benchmarks.scaling_results import Run, of_mode, read
from benchmarks.scaling_steps import STEPS

DOCUMENT = Path(__file__).parent.parent / "docs" / "scaling.md"
LIMITED = "limit 2GB"
EXAMPLE = Cluster(workers=16, cores=8, gigabits=10, shared=1)
"""A cluster to make numbers of the formulas."""
PRICES = Prices(core_hour=0.05, gb_month=0.025)
"""Assumed, to make an example of the formula: no offer of anybody."""
GB = 1e9

Found = dict[str, Any]
Cell = Callable[[Run, str], str]


def write_report(results: Path, document: Path = DOCUMENT) -> None:
    """Fill the document and draw its pictures from a file of results."""
    found = read(results)
    document.write_text(filled(document.read_text("utf-8"), found), "utf-8")
    for name, png in {"scaling-time": time_picture(found), "scaling-memory": memory_picture(found)}.items():
        (document.parent / "images" / f"{name}.png").write_bytes(png)


def filled(text: str, found: Found) -> str:
    """The document with the tables of these results between its markers `<!-- name -->` and `<!-- end -->`.

    Raises `ValueError` where it lacks one.
    """
    for name, make in BLOCKS.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        content = "\n".join(make(found))
        text, count = pattern.subn(lambda match, new=content: f"{match[1]}{new}\n{match[2]}", text)
        if count != 1:
            raise ValueError(f"the document has {count} places for `{name}`")
    return text


def _machine(found: Found) -> list[str]:
    where = found["machine"]
    return [
        (
            f"{where['cores']} cores ({where['processor']}), {where['memory'] / GB:.0f} GB of memory, Python "
            f"{where['python']}, DuckDB {where['duckdb']}, LightGBM {where['lightgbm']}, {where['day']}."
        )
    ]


def _by_step(mode: str, cell: Cell) -> Callable[[Found], list[str]]:
    def lines(found: Found) -> list[str]:
        runs = of_mode(found, mode)
        steps = [name for name in STEPS if any(name in run["steps"] for run in runs)]
        rows = [[f"`{name}`", *(cell(run, name) if name in run["steps"] else "-" for run in runs)] for name in steps]
        rows.append(["load of the machine, at most", *(f"{_load(run):.1f}" for run in runs)])
        return _table(["rows", *(_millions(run) for run in runs)], rows)

    return lines


def _seconds(run: Run, step: str) -> str:
    seconds = run["steps"][step]["seconds"]
    return f"{seconds:.1f} ({seconds / run['rows'] * 1e6:.2f})"


def _memory(run: Run, step: str) -> str:
    return f"{run['steps'][step]['peak'] / GB:.2f}"


def _limited(run: Run, step: str) -> str:
    taken = run["steps"][step]
    return f"{taken['seconds']:.1f} ({taken['cpu']:.1f}), {taken['peak'] / GB:.2f}, {taken['disk'] / GB:.1f}"


def _load(run: Run) -> float:
    """The highest after a step; with one that keeps both cores busy and nothing beside it about two."""
    return max(float(taken["load"]) for taken in run["steps"].values())


def _workers(found: Found) -> list[str]:
    one, two = (of_mode(found, mode) for mode in WORKERS)
    rows = [
        [
            f"`{name}`",
            _millions(first),
            _seconds_of(of_mode(found, "default"), first["millions"], name),
            *(f"{run['steps'][name]['seconds']:.1f}" for run in (first, second)),
            f"{first['steps'][name]['seconds'] / second['steps'][name]['seconds']:.2f}",
            *(f"{run['steps'][name]['worker_peak'] / GB:.2f}" for run in (first, second)),
        ]
        for first, second in zip(one, two, strict=True)  # the same sizes
        for name in first["steps"]
    ]
    head = ["step", "rows", "local, two cores, s", "one worker, s", "two workers, s", "one over two"]
    return _table([*head, "peak of one worker, GB", "of the larger of two"], rows)


def _seconds_of(runs: Sequence[Run], millions: float, step: str) -> str:
    same = [run["steps"][step]["seconds"] for run in runs if run["millions"] == millions and step in run["steps"]]
    return f"{same[0]:.1f}" if same else "-"


def _bytes(found: Found) -> list[str]:
    runs = of_mode(found, LIMITED) or of_mode(found, "default")
    return _table(["", "bytes a row"], [[f"`{name}`", f"{per_row(runs, name):.0f}"] for name in runs[-1]["bytes"]])


def _minute_bars(found: Found) -> list[str]:
    made = estimate(of_mode(found, LIMITED))
    part = shared(found) or 0.0
    once, month = made.cost(PRICES, EXAMPLE)
    where = f"hours on {EXAMPLE.workers} workers of {EXAMPLE.cores} cores"
    rows = [
        ["rows", f"{made.rows:,}"],
        *([f"core hours of `{name}`", f"{hours:,.1f}"] for name, hours in made.core_hours.items()),
        ["core hours of all", f"{made.all_core_hours:,.1f}"],
        ["core hours of the new rows of a day, were only those computed", f"{made.all_core_hours / DAYS:,.3f}"],
        *([f"`{name}`, TB", f"{size / 1e12:.2f}"] for name, size in made.stored.items()),
        ["stored, TB", f"{sum(made.stored.values()) / 1e12:.2f}"],
        ["over the network when all is made anew, TB", f"{made.moved / 1e12:.2f}"],
        ["memory of a worker with a task on each core, GB", f"{made.task * EXAMPLE.cores / GB:,.0f}"],
        ["`market.duckdb` on one host, TB", f"{made.database / 1e12:.2f}"],
        *([f"memory of the process that runs `{name}`, GB", f"{size / GB:,.0f}"] for name, size in made.driver.items()),
        [f"{where}, which share {part:.0%} of the work as today", f"{made.hours(EXAMPLE._replace(shared=part)):.1f}"],
        [f"{where}, were all of it shared", f"{made.hours(EXAMPLE):.1f}"],
        ["network of each worker then, Gbit/s", f"{made.gigabits(EXAMPLE):.1f}"],
        ["making it once then, at the assumed prices", f"{once:,.1f}"],
        ["storing it for a month, at the assumed prices", f"{month:,.1f}"],
    ]
    return _table(["ten years of minutes", ""], rows)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _millions(run: Run) -> str:
    return f"{run['rows'] / 1e6:.1f} M"


BLOCKS: dict[str, Callable[[Found], list[str]]] = {
    "machine": _machine,
    "seconds": _by_step("default", _seconds),
    "memory": _by_step("default", _memory),
    "limited": _by_step(LIMITED, _limited),
    "workers": _workers,
    "bytes": _bytes,
    "minute bars": _minute_bars,
}
