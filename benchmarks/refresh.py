"""Times a refresh of a few changed files against a run from nothing: `python -m benchmarks.refresh`.

Tables only, at full size. Exit code 1 where a refresh takes longer than its limit or publishes anything else than a
run from nothing does.
"""

import datetime
import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import duckdb
import typer
from rich.table import Table

from benchmarks.full_size import Measured, console, run_module, scratch_folder, warm
from benchmarks.shared import files_by_letter
from stock_assets.settings import PREFIX

SHARE = 0.01
TABLES = "*features"
CONTENT = "SELECT count(*), sum(hash(t)) FROM {} AS t"
"""A hash over the rows of a table that does not depend on their order."""


@dataclass(frozen=True)
class Case:
    """Which files change, and the share of the full time that the refresh may take."""

    name: str
    files: Sequence[Path]
    limit: float


def main(
    files: Annotated[int, typer.Option(help="Price files to generate.")] = 8049,
    folder: Annotated[Path, typer.Option("--dir", help="Where the market and the outputs go.")] = Path("bench-data"),
) -> None:
    """Time a run from nothing, a run with nothing changed, and refreshes of 1 % of the files.

    The share is of a run from nothing on the same files right after, when they have all been read before.
    """
    market = folder.resolve() / f"market-{files}"
    with scratch_folder(folder.resolve() / f"refresh-{os.getpid()}", keep=False) as outputs:
        if not market.exists():
            run_module("market", outputs, [str(market), str(files)], {})
        root = outputs / "market"
        shutil.copytree(market, root, copy_function=os.link)
        warm(root)
        full = tables(outputs, "from nothing", root)
        table = Table(
            "tables, seconds", "files changed", "letters", "raw_files", "combined", "features", "all", "share"
        )
        add(table, "from nothing", (), full, full)
        add(table, "nothing changed", (), tables(outputs, "from nothing", root), full)
        failures = []
        for case in cases(root):
            data = shutil.copytree(outputs / "from nothing", outputs / case.name)
            undo = [(path, path.read_bytes()) for path in case.files]
            for path in case.files:
                replace(path, with_one_more_day(path.read_text("utf-8")))
            taken = tables(outputs, case.name, root)
            expected = outputs / "anew"
            anew = tables(outputs, expected.name, root)
            add(table, case.name, case.files, taken, anew)
            if seconds(taken) > case.limit * seconds(anew):
                failures.append(f"{case.name}: took more than {case.limit:.0%} of a run from nothing")
            failures += [f"{case.name}: {what} differs" for what in differences(data, expected)]
            shutil.rmtree(data)
            shutil.rmtree(expected)
            for path, content in undo:
                replace(path, content)
        console.print(table)
    if failures:
        sys.exit("\n".join(failures))
    console.print("each refresh published what a run from nothing does: the same rows, the same bytes of Parquet")


def cases(root: Path) -> list[Case]:
    """One percent of the files: of one letter, the largest, and spread over all letters."""
    letters = files_by_letter(root)
    count = round(SHARE * sum(map(len, letters.values())))
    largest = max(letters.values(), key=len)
    everything = [path for paths in letters.values() for path in paths]
    spread = everything[:: len(everything) // count][:count]
    return [Case("1 % of the files, one letter", largest[:count], 0.15), Case("1 %, all letters", spread, 0.4)]


def tables(outputs: Path, name: str, root: Path) -> Measured:
    """One run of the tables into the data folder `name`."""
    settings = {"SOURCE": "folder", "SOURCE_PATH": str(root), "DATA_DIR": str(outputs / name)}
    variables = {PREFIX + key: value for key, value in settings.items()}
    return run_module("pipeline", outputs, [TABLES], variables)


def seconds(measured: Measured) -> float:
    return sum(measured.seconds.values())


def add(table: Table, name: str, files: Sequence[Path], taken: Measured, full: Measured) -> None:
    letters = {path.name[0].upper() for path in files}
    steps = [f"{taken.seconds[step]:.1f}" for step in ("raw_files", "combined", "features")]
    share = seconds(taken) / seconds(full)
    table.add_row(name, f"{len(files)}", f"{len(letters)}", *steps, f"{seconds(taken):.1f}", f"{share:.0%}")


def replace(path: Path, content: str | bytes) -> None:
    """Another file in its place: the old one is a link to the market that is kept."""
    path.unlink()
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def with_one_more_day(text: str) -> str:
    """The prices with the last line repeated for the next day."""
    last = text.rstrip().rsplit("\n", 1)[-1]
    day, rest = last.split(",", 1)
    following = datetime.date.fromisoformat(day) + datetime.timedelta(days=1)
    return f"{text.rstrip()}\n{following},{rest}\n"


def differences(ours: Path, theirs: Path) -> list[str]:
    """The tables and Parquet files that are not the same in two data folders, in any row or byte."""
    one, other = contents(ours) | digests(ours), contents(theirs) | digests(theirs)
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def contents(data: Path) -> dict[str, object]:
    with duckdb.connect(str(data / "market.duckdb"), read_only=True) as connection:
        tables = ("combined", "quarantine", "source_files", "symbols")
        return {name: connection.execute(CONTENT.format(name)).fetchall() for name in tables}


def digests(data: Path) -> dict[str, object]:
    paths = [path for table in ("combined", "features") for path in data.glob(f"lake/{table}/*/*.parquet")]
    return {str(path.relative_to(data)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


if __name__ == "__main__":
    typer.run(main)
