"""What happens by itself: a refresh when the source has changed or a day has passed, and a message when a run fails."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import dagster as dg
from pydantic import ValidationError

from stock_assets.crypto.source import watch as watch_crypto
from stock_assets.defs.jobs import crypto_refresh, full_refresh
from stock_assets.errors import UserError, first_line
from stock_assets.ingest.watch import Decision, Seen, watch
from stock_assets.settings import Settings, load_settings

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
Watch = Callable[[Settings, Seen, float, bool], Decision]
"""Looks at a source: see `ingest.watch.watch`."""

WEBHOOK_TIMEOUT = 10.0
"""Seconds."""
OLD_NEWS = 3600.0
"""Seconds after which a failure is told no more: it is met by a sensor that was switched off for a while."""


def source_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor that requests a full refresh once per change of the source."""
    return _sensor(settings, "source_changed", full_refresh, "raw_files", watch, running=settings.automation)


def crypto_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor that requests a refresh of the crypto assets once per change of their files.

    It runs by itself only where there are files: who has none has not asked for generated ones.
    """
    running = settings.automation and settings.crypto_path is not None
    return _sensor(settings, "crypto_changed", crypto_refresh, "crypto_prices", watch_crypto, running=running)


def _sensor(  # noqa: PLR0913 - one caller each for the market and for crypto
    settings: Settings, name: str, job: Any, reader: str, look: Watch, *, running: bool
) -> dg.SensorDefinition:
    """A sensor that requests the job once per change of what the asset `reader` reads."""

    @dg.sensor(
        name=name,
        job=job,
        minimum_interval_seconds=settings.poll_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED,
        description=f"Requests one {job.name} when the source of {reader} has changed and holds still: see the ticks "
        "for what it saw. A file that was only touched starts nothing.",
    )
    def changed(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return _look_at_source(context, look, _is_being_read(context.instance, job.name, dg.AssetKey(reader)))

    return changed


def _look_at_source(context: dg.SensorEvaluationContext, look: Watch, busy: bool) -> dg.SensorResult:
    try:
        settings = load_settings()
    except UserError as error:
        return dg.SensorResult(skip_reason=first_line(error), cursor=context.cursor)
    decision = look(settings, _seen(context.cursor), time.time(), busy)
    cursor = decision.seen.model_dump_json()
    if decision.run_key is None:
        return dg.SensorResult(skip_reason=decision.reason, cursor=cursor)
    return dg.SensorResult([dg.RunRequest(run_key=decision.run_key)], cursor=cursor)


def _seen(cursor: str | None) -> Seen:
    try:
        return Seen.model_validate_json(cursor or "{}")
    except ValidationError:
        return Seen()  # of another version of this sensor: what is published decides


def _is_being_read(instance: dg.DagsterInstance, job: str, reader: dg.AssetKey) -> bool:
    """Whether a run that reads the source, started by whomever, is queued or in progress."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY))
    return any(run.job_name == job or reader in (run.asset_selection or ()) for run in runs)


def daily_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule of a full refresh a day, which mends what the sensor could not see, such as a failed run."""
    return dg.ScheduleDefinition(
        name="daily_refresh",
        job=full_refresh,
        cron_schedule="0 6 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if settings.automation else dg.DefaultScheduleStatus.STOPPED,
        description="One full refresh at 06:00 UTC, after the US market's close and the sources' nightly updates.",
    )


def failure_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor that sends a message about each run of this code location that fails."""

    @dg.run_failure_sensor(
        name="run_failed",
        default_status=dg.DefaultSensorStatus.RUNNING if settings.alert_webhook else dg.DefaultSensorStatus.STOPPED,
        description="Posts a JSON `text` to STOCK_ASSETS_ALERT_WEBHOOK when a run fails: job, run, failed step, why.",
    )
    def run_failed(context: dg.RunFailureSensorContext) -> None:
        _tell_of_failure(context)

    return run_failed


def _tell_of_failure(context: dg.RunFailureSensorContext) -> None:
    try:
        settings = load_settings()
    except UserError as error:
        context.log.warning(f"nothing was sent: {first_line(error)}")
        return
    record = context.instance.get_run_record_by_id(context.dagster_run.run_id)
    if record and record.end_time and time.time() - record.end_time > OLD_NEWS:
        context.log.info(f"nothing was sent: run {context.dagster_run.run_id} failed long ago")
    elif settings.alert_webhook is None:
        context.log.warning("nothing was sent: STOCK_ASSETS_ALERT_WEBHOOK is not set")
    elif problem := _post(settings.alert_webhook.get_secret_value(), _message(context, settings)):
        context.log.warning(f"the address in STOCK_ASSETS_ALERT_WEBHOOK {problem}: nobody was told of this failure")


def _message(context: dg.RunFailureSensorContext, settings: Settings) -> str:
    run = context.dagster_run
    failed = [f"{event.step_key}: {_reason(event)}" for event in context.get_step_failure_events()]
    what = failed[0] if failed else first_line(context.failure_event.message)
    link = f"http://{settings.host}:{settings.dagster_port}/runs/{run.run_id}"
    return f"{run.job_name} failed: {what}\nrun {run.run_id}: {link}"


def _reason(event: dg.DagsterEvent) -> str:
    """The one line of a failed step: what it says itself, or else its innermost exception."""
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return first_line(failure.user_failure_data.description)
    error = failure.error
    while error and error.cause:
        error = error.cause
    return first_line(error.message) if error else "failed"


def _post(url: str, text: str) -> str | None:
    """Send the message; None, or what went wrong, without the address: whoever has it can post in our name."""
    body = json.dumps({"text": text}).encode()
    try:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=WEBHOOK_TIMEOUT):  # noqa: S310 - the user's own address
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return f"answered {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"could not be reached ({type(error.__context__ or error).__name__})"
