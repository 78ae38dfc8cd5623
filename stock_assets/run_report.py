"""`stock-assets run` on the terminal: progress while the job runs, and the closing table."""

import re
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from stock_assets.crypto.measures import RANDOM_WALK
from stock_assets.definitions import defs
from stock_assets.defs.running import Outcome, open_instance, run_full_refresh
from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.learning.volume import BASELINE, INPUTS
from stock_assets.next_day.baselines import DECISIVE
from stock_assets.publishing import exclusive
from stock_assets.settings import Settings
from stock_assets.volume_model import SELF_TEST


def run_with_report(settings: Settings, letters: tuple[str, str] | None, select: str | None) -> None:
    """Run the job and print what came of it. Raises `UserError` with the one line of a failure."""
    console = Console()
    has_bar = console.is_terminal  # asked before the bar takes over stdout

    def tell(message: str) -> None:
        console.print(message, soft_wrap=True)

    with (
        open_instance(settings) as instance,
        exclusive(Layout(settings.data_dir), settings.lock_timeout, tell),
        _progress(console) as progress,
    ):
        task = progress.add_task("starting", detail="")

        def show(asset: str, message: str) -> None:
            if asset and has_bar:
                done, total = _progress_of(message)
                progress.update(task, description=asset, detail=message, completed=done, total=total)
            elif asset:
                tell(f"{asset}: {message}")

        outcome = run_full_refresh(instance, defs, letters, select, show)
    if outcome.error:
        raise UserError(f"{outcome.error} (run {outcome.run_id})")
    console.print(closing_table(outcome))


def closing_table(outcome: Outcome) -> Table:
    """What the run read, kept and made; only the stages that were part of it have lines."""
    table = Table(show_header=False)
    table.add_row("run", outcome.run_id)
    for name, value in (*_data_lines(outcome), *_model_lines(outcome), *_crypto_lines(outcome)):
        table.add_row(name, value)
    if outcome.checks:
        table.add_section()
        table.add_row("checks", f"{outcome.checks - len(outcome.warnings)} of {outcome.checks} passed")
    for name, said in outcome.warnings.items():
        table.add_row(f"warning {name}", said.partition("; first:")[0])
    table.add_section()
    for asset, seconds in outcome.seconds.items():
        table.add_row(f"seconds for {asset}", f"{seconds:.1f}")
    return table


def _data_lines(outcome: Outcome) -> Iterator[tuple[str, str]]:
    if combined := outcome.metadata.get("combined"):
        yield "files", f"{combined['files']:,} ({combined['files_quarantined']:,} quarantined)"
        changes = [f"{combined[f'files {kind}']:,} {kind}" for kind in ("added", "changed", "removed")]
        yield "since the last run", ", ".join(changes)
        for name in ("rows_read", "rows_kept", "rows_quarantined", "symbols"):
            yield name.replace("_", " "), f"{combined[name]:,}"
        if combined["symbols restated"]:
            changed, removed = combined["rows restated"], combined["rows removed"]
            yield "restated rows", f"{changed:,} changed and {removed:,} removed, from {combined['restated from']}"
    if features := outcome.metadata.get("features"):
        yield "letters", f"{features['letters']}"
        yield "letters that were up to date", f"{features['letters skipped']}"


def _model_lines(outcome: Outcome) -> Iterator[tuple[str, str]]:
    prefix = "volume_candidates/"
    found = {key.removeprefix(prefix): facts for key, facts in outcome.metadata.items() if key.startswith(prefix)}
    if found:
        skill, best = max((facts["skill"], name) for name, facts in found.items())
        yield "candidates", f"{len(found)} ({sum(facts['trained'] for facts in found.values())} trained)"
        yield "best on the test window", f"{best} ({skill:+.2%})"
    if model := outcome.metadata.get("volume_model"):
        state = "promoted" if model["promoted"] else "not promoted"
        yield "best on validation", model["candidate"]
        yield "model version", f"{model['version']} ({'trained' if model['trained'] else 'kept'}, {state})"
        yield f"skill against {BASELINE}", f"{model['skill']:+.2%} of its mean absolute error"
        volume, price = SELF_TEST[0]
        yield f"prediction for {INPUTS[0]}={volume:g}, {INPUTS[1]}={price:g}", f"{model['sample prediction']:,} shares"
    if model := outcome.metadata.get("next_day_model"):
        state = "promoted" if model["promoted"] else "not promoted"
        yield "next-day model", f"{model['version']} ({'trained' if model['trained'] else 'kept'}, {state})"
        yield f"its skill against {DECISIVE}", f"{model['skill']:+.2%} of its mean absolute error"
        yield "its 80 % interval holds", f"{model['coverage']:.1%} of the test rows"
    if forecasts := outcome.metadata.get("next_day_forecasts"):
        yield "next-day forecasts", f"{forecasts['dagster/row_count']:,} symbols, newest day {forecasts['newest day']}"


def _crypto_lines(outcome: Outcome) -> Iterator[tuple[str, str]]:
    if prices := outcome.metadata.get("crypto_prices"):
        yield "crypto files", f"{prices['files']:,} ({prices['files_quarantined']:,} quarantined)"
        for name in ("rows_read", "rows_kept", "rows_quarantined"):
            yield name.replace("_", " "), f"{prices[name]:,}"
    if model := outcome.metadata.get("next_price_model"):
        state = "promoted" if model["promoted"] else "not promoted"
        yield "next-price model", f"{model['version']} ({model['candidate']}, {state})"
        yield f"its skill against {RANDOM_WALK}", f"{model['skill']:+.2%} of its mean absolute error"
        yield "it tells the direction of", f"{model['direction told']:.1%} of the days"


def _progress_of(message: str) -> tuple[float, float | None]:
    """How much of how much is done, of a message that says `240 of 523`; no total for any other one."""
    found = re.search(r"\b([\d.]+) of ([\d.]+)\b", message)
    return (float(found[1]), float(found[2])) if found else (0, None)


def _progress(console: Console) -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
