"""The command line `stock-assets`: argument parsing and what is printed; Dagster is loaded only to run something."""

import json
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stock_assets.api_keys import new_key
from stock_assets.backup_cli import backup, restore
from stock_assets.errors import UserError
from stock_assets.lake_cli import lake
from stock_assets.layout import LETTERS
from stock_assets.models_cli import models
from stock_assets.settings import load_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Daily stock prices to features, a volume model and an HTTP service. Settings: STOCK_ASSETS_* variables.",
)

app.add_typer(models, name="models")
app.command()(lake)
app.command()(backup)
app.command()(restore)


@app.command()
def run(
    letters: Annotated[
        str | None, typer.Option(help="Letters of features to make, such as C or A-F. Default: all.")
    ] = None,
    select: Annotated[
        str | None, typer.Option(help="Assets to materialize, in Dagster's selection syntax, such as 'features+'.")
    ] = None,
) -> None:
    """Materialize everything in one Dagster run: raw files, tables, features, model."""
    from stock_assets.run_report import run_with_report  # noqa: PLC0415 - Dagster takes a second to load

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_with_report(load_settings(), parse_letters(letters) if letters else None, select)
    except KeyboardInterrupt:
        print("stock-assets: stopped; what was published before is unchanged", file=sys.stderr)
        raise typer.Exit(130) from None


@app.command()
def doctor() -> None:
    """Check the environment and say what to do about what is missing."""
    from stock_assets.doctor import examine  # noqa: PLC0415 - so that a broken environment can be told of

    if not examine(Console()):
        raise typer.Exit(1)


@app.command()
def dev() -> None:
    """Start the Dagster UI with its daemon, and the prediction service; Ctrl-C stops both."""
    from stock_assets.dev import serve_all  # noqa: PLC0415

    raise typer.Exit(serve_all(load_settings()))


@app.command()
def replay(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Logs, or folders of logs. Default: logs/predictions of the data folder."),
    ] = None,
    *,
    version: Annotated[
        str | None,
        typer.Option(help="A version of volume_model. Default: check that each logged one answers the same."),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another one to hold it against. Default: the logged answers.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="How many, of the newest.")] = 10_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Ask a version of the volume model what the service was asked before, and compare the answers."""
    from stock_assets import replay as replaying  # noqa: PLC0415 - numpy, pyarrow and LightGBM are of no use elsewhere

    if against and not version:
        raise UserError("--against goes with --version: name the version that is held against it")
    settings = load_settings()
    log = replaying.read_log(replaying.log_files(settings, files or []), rows)
    if version:
        found = [replaying.replay(settings, log, version, against)]
    else:
        found = list(replaying.verify(settings, log, partial(print, file=sys.stderr)))
    if as_json:
        print(json.dumps([replaying.facts(one) for one in found], indent=1, allow_nan=False))
    else:
        Console().print(*(part for one in found for part in replaying.told(one)), sep="\n")
    if not version and any(one.changed for one in found):
        raise UserError("logged answers are not those of their versions: these, or LightGBM, are not what they were")


@app.command("api-key")
def api_key() -> None:
    """Print a new key of the service for a client, and the line with its hash for STOCK_ASSETS_API_KEYS."""
    print(*new_key(), sep="\n")


def parse_letters(text: str) -> tuple[str, str]:
    """First and last letter of `C` or `A-F`. Raises `UserError` for anything else."""
    first, dash, last = text.upper().partition("-")
    pair = (first, last if dash else first)
    if not all(letter in LETTERS for letter in pair) or pair[0] > pair[1]:
        raise UserError(f"--letters {text}: give one letter or a range such as A-F; 0 stands for all other symbols")
    return pair


def main() -> None:
    """Entry point: a `UserError` ends in its one line and exit code 1."""
    try:
        app()
    except UserError as error:
        print(f"stock-assets: {error}", file=sys.stderr)
        sys.exit(1)
