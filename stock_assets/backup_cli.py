"""`stock-assets backup` and `stock-assets restore`: argument parsing and what is printed."""

import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from stock_assets.backup import Copied, back_up
from stock_assets.backup import restore as restore_copy
from stock_assets.layout import Layout
from stock_assets.settings import Settings, load_settings


def backup(
    file: Annotated[Path, typer.Argument(help="The tar file to write; it replaces one of that name.")],
    *,
    tables: Annotated[
        bool, typer.Option(help="Also raw files and tables, which a run would make again from its source.")
    ] = True,
) -> None:
    """Copy the data folder into one file, also beside runs and servers; PostgreSQL has its own tools."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no half of a copy stays
    settings = load_settings()
    try:
        copied = back_up(settings, file, partial(print, flush=True), tables=tables)
    except KeyboardInterrupt:
        print("stock-assets: stopped; an earlier copy of that name is unchanged", file=sys.stderr)
        raise typer.Exit(130) from None
    _tell("written", file, copied)
    for missing in _elsewhere(settings):
        print(f"not in it: {missing}")


def restore(file: Annotated[Path, typer.Argument(help="A file that `stock-assets backup` wrote.")]) -> None:
    """Make a data folder, which must be empty, of a copy."""
    settings = load_settings()
    _tell(f"restored to {settings.data_dir} from", file, restore_copy(settings, file, partial(print, flush=True)))


def _tell(what: str, file: Path, copied: Copied) -> None:
    parts = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sorted(copied.sizes.items()))
    print(f"{what} {file}: {sum(copied.sizes.values()) / 1e6:.1f} MB ({parts})")


def _elsewhere(settings: Settings) -> list[str]:
    """What belongs to the pipeline and lies outside of the data folder."""
    home = Path(os.environ.get("DAGSTER_HOME") or Layout(settings.data_dir).dagster_home).resolve()
    found = []
    if settings.experiments_url:
        found.append("the experiments, in the database of STOCK_ASSETS_EXPERIMENTS_URL: use pg_dump")
    if not home.is_relative_to(settings.data_dir.resolve()):
        found.append(f"Dagster's history: DAGSTER_HOME is {home}")
    return found
