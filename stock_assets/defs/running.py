"""The job on the user's own Dagster instance, so that the run shows in the UI; for the command line."""

import logging
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock

from stock_assets.defs.jobs import crypto_refresh, full_refresh
from stock_assets.defs.partitions import ALL_LETTERS, range_tags
from stock_assets.defs.storage_errors import silence_retries, storage_errors, told
from stock_assets.errors import UserError, first_line
from stock_assets.layout import Layout
from stock_assets.settings import Settings

INSTANCE_FILE = Path(__file__).with_name("dagster.yaml")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

Show = Callable[[str, str], None]
"""Called with an asset's name, or "" for the run as a whole, and what is going on."""


@dataclass
class Outcome:
    """What came of a run: `metadata` and `seconds` by asset, and the one line of the first failure, if any.

    `checks` is how many were made, `warnings` what those say that did not pass, by asset and name.
    """

    run_id: str
    seconds: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: int = 0
    warnings: dict[str, str] = field(default_factory=dict)
    error: str | None = None


def prepare_home(settings: Settings) -> Path:
    """`DAGSTER_HOME`, which is `<data dir>/dagster` unless it is set; made and filled where it is missing.

    Raises `UserError` where it cannot be made.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or Layout(settings.data_dir).dagster_home).expanduser().resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            shutil.copyfile(INSTANCE_FILE, home / "dagster.yaml")
    except OSError as error:
        raise UserError(f"DAGSTER_HOME {home} cannot be made or written: {error.strerror}; set it elsewhere") from error
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The user's instance. Its databases are made by one process at a time: two at once would break them.

    Raises `UserError` where it cannot be opened, in the words of whatever storage its `dagster.yaml` names.
    """
    home = prepare_home(settings)
    silence_retries()
    try:
        with FileLock(home / "prepare.lock"):
            instance = dg.DagsterInstance.get()
            instance.get_runs(limit=1)
            return instance
    except Exception as error:  # each storage has some of its own, and one that is not installed another one
        raise UserError(
            f"the Dagster instance in DAGSTER_HOME {home} cannot be used: {told(error)}; mend it or set another"
        ) from error


def run_full_refresh(
    instance: dg.DagsterInstance, defs: dg.Definitions, letters: tuple[str, str] | None, select: str | None, show: Show
) -> Outcome:
    """Run `full_refresh`, or the part of it or of `crypto_refresh` that `select` names.

    It is run on these letters (first and last) or on all. `select` is Dagster's selection syntax, such as `features+`.
    Raises `UserError` for a selection of nothing or of both jobs and where the instance's storage fails,
    `KeyboardInterrupt` where the run was interrupted.
    """
    outcome = Outcome(run_id=str(uuid.uuid4()))
    job, assets = _selected(defs, select)
    try:
        with _watching(instance, outcome.run_id, show):
            result = defs.resolve_job_def(job).execute_in_process(
                instance=instance,
                run_id=outcome.run_id,
                tags=range_tags(*letters) if letters else ALL_LETTERS,
                asset_selection=assets,
                run_config=QUIET,
                raise_on_error=False,
            )
    except storage_errors() as error:
        raise UserError(
            f"the run stopped, as Dagster's database cannot be used: {told(error)}; what was published is whole: "
            "run again"
        ) from error
    for event in result.all_events:
        _note(outcome, event)
    if not result.success and outcome.error is None:
        outcome.error = "the run failed before its first asset"
    return outcome


def _selected(defs: dg.Definitions, select: str | None) -> tuple[str, list[dg.AssetKey] | None]:
    """The job that has the selected assets, and these."""
    if select is None:
        return full_refresh.name, None
    graph = defs.resolve_asset_graph()
    jobs = {job.name: job.selection.resolve(graph) for job in (full_refresh, crypto_refresh)}
    names = ", ".join(sorted(key.to_user_string() for keys in jobs.values() for key in keys))
    try:
        selected = dg.AssetSelection.from_string(select).resolve(graph)
    except (dg.DagsterError, ValueError) as error:
        raise UserError(f"--select {select}: not a selection of assets ({names})") from error
    found = {job: sorted(keys & selected) for job, keys in jobs.items() if keys & selected}
    if not found:
        raise UserError(f"--select {select}: selects none of the assets ({names})")
    if len(found) > 1:
        raise UserError(f"--select {select}: the market and the crypto assets are two runs; select assets of one")
    return found.popitem()


def _note(outcome: Outcome, event: dg.DagsterEvent) -> None:
    """Take from an event what the closing table tells."""
    asset = event.step_key or ""
    if event.is_step_materialization:
        made = event.step_materialization_data.materialization
        values, asset = made.metadata, made.asset_key.to_user_string()  # a step may make several assets
        outcome.metadata[asset] = {name: value.value for name, value in values.items()}
    elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        found = event.asset_check_evaluation_data
        outcome.checks += 1
        if not found.passed:
            asset_name = found.asset_key.to_user_string()
            outcome.warnings[f"{asset_name} {found.check_name}"] = found.description or "failed"
    elif event.is_step_success:
        outcome.seconds[asset] = event.step_success_data.duration_ms / 1000
    elif event.is_step_failure and outcome.error is None:
        failure = event.step_failure_data
        if failure.user_failure_data:
            outcome.error = f"{asset}: {failure.user_failure_data.description}"
        else:
            cause = failure.error.cause or failure.error if failure.error else None
            if cause and cause.cls_name == dg.DagsterExecutionInterruptedError.__name__:
                raise KeyboardInterrupt
            outcome.error = f"{asset}: {first_line(cause.message) if cause else 'failed'}"


@contextmanager
def _watching(instance: dg.DagsterInstance, run_id: str, show: Show) -> Iterator[None]:
    """Tell what the run logs, from the instance's own event log, while the run goes on in this thread."""
    if instance.is_ephemeral:  # reading its tables in one thread locks them for the run in the other
        yield
        return
    done = threading.Event()
    watcher = threading.Thread(target=_follow, args=(instance, run_id, show, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _follow(instance: dg.DagsterInstance, run_id: str, show: Show, done: threading.Event) -> None:
    cursor: str | None = None
    while True:
        last_look = done.wait(0.2)
        with suppress(*storage_errors()):  # the run writes there too; the next look shows the rest
            if instance.has_run(run_id):
                page = instance.get_records_for_run(run_id, cursor=cursor)
                cursor = page.cursor
                for record in page.records:
                    _tell(record.event_log_entry, show)
        if last_look:
            return


def _tell(entry: dg.EventLogEntry, show: Show) -> None:
    event = entry.dagster_event
    if event is None and entry.level != logging.ERROR:
        show(entry.step_key or "", entry.user_message)
    elif event and event.is_step_start:
        show(entry.step_key or "", "started")
    elif event and event.is_step_success:
        show(entry.step_key or "", f"done in {event.step_success_data.duration_ms / 1000:.1f} s")
