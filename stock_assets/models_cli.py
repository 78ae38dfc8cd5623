"""`stock-assets models`: argument parsing and what is printed."""

import json
import signal
import sys
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console

from stock_assets.settings import load_settings

models = typer.Typer(no_args_is_help=True, help="Look at trained models, promote one, or go back to the one before.")

Model = Annotated[str, typer.Argument(help="Name of a model, such as volume_model.")]
AnyModel = Annotated[str | None, typer.Argument(help="Name of a model, such as volume_model. Default: all.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

# The rest is imported where it is used: SQLAlchemy and the registry are of no use to `stock-assets doctor`.


@models.command("list")
def list_(model: AnyModel = None, *, as_json: AsJson = False) -> None:
    """The versions on disk, newest first, and which one is served."""
    from stock_assets.models_report import versions, versions_table  # noqa: PLC0415

    found = versions(load_settings(), model)
    if as_json:
        _print_json([version for listed in found.values() for version in listed])
    else:
        for name, listed in found.items():
            Console().print(versions_table(name, listed))


@models.command()
def compare(
    a: Annotated[str, typer.Argument(help="A version, or the number of an experiment.")],
    b: Annotated[str, typer.Argument(help="Another one.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Two versions or experiments side by side: metrics, other parameters, and whether the test rows are the same."""
    from stock_assets.comparison import compare as compared  # noqa: PLC0415
    from stock_assets.comparison import comparison_table, find  # noqa: PLC0415

    settings = load_settings()
    comparison = compared(find(settings, a), find(settings, b))
    if as_json:
        _print_json(comparison._asdict())
    else:
        Console().print(comparison_table(a, b, comparison))


@models.command()
def promote(
    model: Model,
    version: Annotated[str, typer.Argument(help="One of `models list`.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Also a version without positive skill.")] = False,
) -> None:
    """Serve this version from now on; its file is held against its hash first."""
    from stock_assets.promotion import promote as promote_by_hand  # noqa: PLC0415

    change = promote_by_hand(load_settings(), model, version, force=force)
    print(f"{model}: {change.version} is served, before it {change.before or 'nothing'}")


@models.command()
def rollback(model: Model) -> None:
    """Serve the version again that was served before."""
    from stock_assets.promotion import roll_back  # noqa: PLC0415

    change = roll_back(load_settings(), model)
    for version, fault in change.skipped.items():
        print(f"{model}: {version} is skipped: {fault}")
    print(f"{model}: {change.version} is served again, in place of {change.before}")


@models.command()
def search(
    model: Annotated[str, typer.Argument(help="volume_model or next_day_model.")],
    *,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials in all. Default: STOCK_ASSETS_SEARCH_TRIALS.")
    ] = None,
) -> None:
    """Search for better hyper-parameters on the validation window; the next training uses what is found."""
    from stock_assets.search_by_hand import search_by_hand  # noqa: PLC0415

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = load_settings()
    try:
        wanted = settings.model_copy(update={"search_trials": trials or settings.search_trials})
        search_by_hand(wanted, model, partial(print, flush=True))
    except KeyboardInterrupt:
        print("stock-assets: stopped; the finished trials are kept, and the next search goes on there", file=sys.stderr)
        raise typer.Exit(130) from None


@models.command()
def experiments(
    model: AnyModel = None,
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many, of the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """What was trained and promoted, newest first, from the table of experiments."""
    from stock_assets.experiments import read_experiments  # noqa: PLC0415
    from stock_assets.models_report import experiment_facts, experiments_table  # noqa: PLC0415

    found = read_experiments(load_settings(), model, limit)
    if as_json:
        _print_json([experiment_facts(experiment) for experiment in found])
    else:
        Console().print(experiments_table(found))


def _print_json(content: Any) -> None:
    print(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
