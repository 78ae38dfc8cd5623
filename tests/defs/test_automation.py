"""What runs by itself, what it is told when something is wrong, and what is tried again."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from stock_assets.definitions import defs
from stock_assets.defs import assets, automation, models, resources
from stock_assets.defs.automation import crypto_sensor, daily_schedule, failure_sensor, source_sensor
from stock_assets.defs.partitions import ALL_LETTERS
from stock_assets.errors import TransientError, UserError
from stock_assets.ingest.sources import refresh
from stock_assets.ingest.watch import Seen
from stock_assets.settings import Settings, load_settings
from tests.conftest import price_text, write_market
from tests.helpers import folder_settings, free_port

RUNNING, STOPPED = dg.DefaultSensorStatus.RUNNING, dg.DefaultSensorStatus.STOPPED
JOB = "full_refresh"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings in force: a folder of prices that counts as it is."""
    market = write_market(tmp_path / "market", {"stocks/A.csv": price_text(3), "etfs/B.csv": price_text(3)})
    for name, value in folder_settings(tmp_path / "data", market, settle_seconds=0).items():
        monkeypatch.setenv(name, value)
    return load_settings()


def tick(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None) -> Any:
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        return sensor.evaluate_tick(context)


def requested(instance: dg.DagsterInstance, cursor: str | None = None) -> list[Any]:
    """The run requests of the next ticks, the first of which only notes what it sees."""
    sensor = source_sensor(load_settings())
    found: list[Any] = []
    for _ in range(4):
        data = tick(sensor, instance, cursor)
        cursor = data.cursor
        found += data.run_requests or []
    return found


def test_the_code_location_has_these() -> None:
    assert {sensor.name for sensor in defs.sensors or ()} == {"source_changed", "crypto_changed", "run_failed"}
    assert {schedule.name for schedule in defs.schedules or ()} == {"daily_refresh"}


@pytest.mark.parametrize(("automation", "path", "runs"), [(True, "x", True), (True, None, False), (False, "x", False)])
def test_crypto_is_watched_where_there_are_files(automation: bool, path: str | None, runs: bool) -> None:
    settings = Settings(automation=automation, crypto_path=path)

    assert crypto_sensor(settings).default_status == (RUNNING if runs else STOPPED)


@pytest.mark.parametrize("automation", [True, False])
def test_the_setting_starts_the_sensor_and_the_schedule(automation: bool) -> None:
    settings = Settings(automation=automation, poll_seconds=77)
    sensor, schedule = source_sensor(settings), daily_schedule(settings)

    assert sensor.default_status == (RUNNING if automation else STOPPED)
    assert schedule.default_status.value == sensor.default_status.value
    assert sensor.minimum_interval_seconds == 77


@pytest.mark.parametrize(("url", "status"), [("http://127.0.0.1/x", RUNNING), (None, STOPPED)])
def test_the_webhook_starts_its_sensor(url: str | None, status: dg.DefaultSensorStatus) -> None:
    settings = Settings.model_validate({"alert_webhook": url})

    assert failure_sensor(settings).default_status == status


def test_the_schedule_requests_all_letters_once_a_day() -> None:
    schedule = daily_schedule(Settings())

    with dg.build_schedule_context() as context:
        requests = schedule.evaluate_tick(context).run_requests

    assert requests is not None
    assert len(requests) == 1
    assert (schedule.job_name, schedule.cron_schedule, schedule.execution_timezone) == (JOB, "0 6 * * *", "UTC")
    assert defs.resolve_job_def(JOB).run_tags.items() >= ALL_LETTERS.items()


@pytest.mark.usefixtures("folder")
def test_files_that_are_new_are_one_request(instance: dg.DagsterInstance) -> None:
    (request,) = requested(instance)

    assert " seen " in request.run_key


def test_what_is_published_is_no_request(instance: dg.DagsterInstance, folder: Settings) -> None:
    refresh(folder, print)

    assert requested(instance) == []


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("cursor", ["{", "an older version's", '{"since": "yesterday"}'])
def test_a_cursor_that_is_not_ours_is_a_new_beginning(instance: dg.DagsterInstance, cursor: str) -> None:
    assert len(requested(instance, cursor)) == 1


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("job", "selection", "status", "waits"),
    [
        (JOB, None, dg.DagsterRunStatus.STARTING, True),
        (JOB, None, dg.DagsterRunStatus.STARTED, True),
        (JOB, None, dg.DagsterRunStatus.CANCELING, True),
        ("__ASSET_JOB", ["raw_files", "combined"], dg.DagsterRunStatus.STARTED, True),
        ("__ASSET_JOB", ["features"], dg.DagsterRunStatus.STARTED, False),
        (JOB, None, dg.DagsterRunStatus.NOT_STARTED, False),
        (JOB, None, dg.DagsterRunStatus.FAILURE, False),
        (JOB, None, dg.DagsterRunStatus.SUCCESS, False),
    ],
)
def test_a_run_that_reads_the_source_is_waited_for(
    instance: dg.DagsterInstance, job: str, selection: list[str] | None, status: dg.DagsterRunStatus, waits: bool
) -> None:
    keys = frozenset(map(dg.AssetKey, selection)) if selection else None
    instance.add_run(dg.DagsterRun(job_name=job, asset_selection=keys, status=status))

    assert len(requested(instance)) == (0 if waits else 1)


def test_settings_that_cannot_be_used_are_a_reason(
    instance: dg.DagsterInstance, folder: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCK_ASSETS_POLL_SECONDS", "often")
    cursor = Seen(fingerprint="a").model_dump_json()

    data = tick(source_sensor(folder), instance, cursor)

    assert data.skip_message.startswith("STOCK_ASSETS_POLL_SECONDS=often: ")
    assert data.cursor == cursor


@dataclass
class Webhook:
    """A server that keeps what it is sent and answers with `status`."""

    status: int = 200
    received: list[tuple[str, Any]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)


@contextmanager
def listening(webhook: Webhook, *, mute: bool = False) -> Iterator[str]:
    """Its address, which has a secret in it; a mute one takes the message and never answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            webhook.received.append((self.headers["Content-Type"], json.loads(body)))
            if mute:
                webhook.release.wait(30)
                return
            self.send_response(webhook.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/services/S3CRET"
        finally:
            webhook.release.set()
            server.shutdown()
            thread.join()


def fail_a_run(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STOCK_ASSETS_SOURCE_PATH", "/nowhere")
    result = defs.resolve_job_def(JOB).execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    return result.run_id


def alert(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, url: str | None) -> tuple[str, Any]:
    """The run that failed since the sensor was switched on, and what the tick after it did."""
    if url:
        monkeypatch.setenv("STOCK_ASSETS_ALERT_WEBHOOK", url)
    sensor = failure_sensor(load_settings())
    started = tick(sensor, instance, None)
    run_id = fail_a_run(instance, monkeypatch)
    return run_id, tick(sensor, instance, started.cursor)


def test_a_failed_run_is_told(instance: dg.DagsterInstance, folder: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_a_run(instance, monkeypatch)  # before the sensor was switched on: not told
    webhook = Webhook()
    with listening(webhook) as url:
        run_id, data = alert(instance, monkeypatch, url)
        again = tick(failure_sensor(folder), instance, data.cursor)

    ((kind, body),) = webhook.received
    assert kind == "application/json"
    assert body == {
        "text": "full_refresh failed: raw_files: STOCK_ASSETS_SOURCE_PATH=/nowhere: there is no such folder or zip\n"
        f"run {run_id}: http://127.0.0.1:3000/runs/{run_id}"
    }
    assert not again.dagster_run_reactions


def test_a_run_that_failed_before_its_first_step_is_told(
    instance: dg.DagsterInstance, folder: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = Webhook()
    with listening(webhook) as url:
        monkeypatch.setenv("STOCK_ASSETS_ALERT_WEBHOOK", url)
        cursor = tick(failure_sensor(folder), instance, None).cursor
        run = instance.add_run(dg.DagsterRun(job_name=JOB, status=dg.DagsterRunStatus.STARTING))
        instance.report_run_failed(run, "the worker is gone\nsince a while")
        tick(failure_sensor(folder), instance, cursor)

    assert webhook.received[0][1]["text"].startswith("full_refresh failed: the worker is gone\nrun ")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ("refuses", "answered 403"),
        ("is mute", "could not be reached (TimeoutError)"),
        ("is not there", "could not be reached (ConnectionRefusedError)"),
        ("nonsense S3CRET", "could not be reached (ValueError)"),
        ("http://[S3CRET", "could not be reached (ValueError)"),
        ("http://127.0.0.1:S3CRET/", "could not be reached (ValueError)"),
        ("http:///S3CRET", "could not be reached (URLError)"),
        ("nothing", "STOCK_ASSETS_ALERT_WEBHOOK is not set"),
    ],
)
def test_a_webhook_that_fails_is_one_warning_without_its_address(
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    trouble: str,
    told: str,
) -> None:
    monkeypatch.setattr(automation, "WEBHOOK_TIMEOUT", 0.2)
    urls = {"is not there": f"http://127.0.0.1:{free_port()}/S3CRET", "nothing": None}
    with listening(Webhook(status=403), mute=trouble == "is mute") as own:
        url = own if trouble in ("refuses", "is mute") else urls.get(trouble, trouble)
        _, data = alert(instance, monkeypatch, url)

    (reaction,) = data.dagster_run_reactions
    assert reaction.error is None
    logged = capfd.readouterr()
    (warning,) = [line for line in logged.err.splitlines() if "STOCK_ASSETS_ALERT_WEBHOOK" in line]
    assert "WARNING" in warning
    assert told in warning
    assert "S3CRET" not in logged.out + logged.err + str(data)


def test_an_old_failure_is_no_news(
    instance: dg.DagsterInstance, folder: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = Webhook()
    with listening(webhook) as url:
        monkeypatch.setenv("STOCK_ASSETS_ALERT_WEBHOOK", url)
        cursor = tick(failure_sensor(folder), instance, None).cursor
        fail_a_run(instance, monkeypatch)
        later = time.time() + automation.OLD_NEWS + 60
        monkeypatch.setattr(time, "time", lambda: later)
        tick(failure_sensor(folder), instance, cursor)

    assert webhook.received == []


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """The errors that the source still has in store; the waits between the tries are left out."""
    errors: list[Exception] = []

    def next_one(settings: Settings, report: Any) -> Any:
        if errors:
            raise errors.pop(0)
        return refresh(settings, report)

    monkeypatch.setattr(assets, "refresh", next_one)
    monkeypatch.setattr(resources, "RETRY_WAITS", (0, 0, 0))
    return errors


def run_raw_files(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def(JOB).execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey("raw_files")], raise_on_error=False
    )


def fetch(instance: dg.DagsterInstance) -> tuple[bool, int, list[str]]:
    """Whether `raw_files` was made, how often it was put off, and what it said when it failed."""
    result = run_raw_files(instance)
    failed = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    put_off = sum(event.is_step_up_for_retry for event in result.all_events)
    return result.success, put_off, [str(data.description) for data in failed if data]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("errors", "outcome"),
    [
        ([TransientError("busy")] * 3, (True, 3, [])),
        ([TransientError("busy\nmore")] * 4, (False, 3, ["busy"])),
        ([UserError("no such dataset")], (False, 0, ["no such dataset"])),
        ([TransientError("busy"), UserError("no such dataset")], (False, 1, ["no such dataset"])),
        ([OSError(28, "No space left on device")], (False, 0, ["[Errno 28] No space left on device"])),
    ],
    ids=["three times busy", "four times busy", "refused", "busy, then refused", "disk full"],
)
def test_what_may_pass_is_tried_again(
    instance: dg.DagsterInstance,
    tried: list[Exception],
    errors: list[Exception],
    outcome: tuple[bool, int, list[str]],
) -> None:
    tried.extend(errors)

    assert fetch(instance) == outcome


def test_the_waits_between_the_tries_grow(
    instance: dg.DagsterInstance, folder: Settings, tried: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "RETRY_WAITS", (0, 1, 2))
    tried.extend([TransientError("busy")] * 3)
    result = run_raw_files(instance)

    waits = [event.step_retry_data.seconds_to_wait for event in result.all_events if event.is_step_up_for_retry]
    assert waits == [0, 1, 2]


def test_a_run_that_is_stopped_is_not_tried_again(
    instance: dg.DagsterInstance, folder: Settings, tried: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise dg.DagsterExecutionInterruptedError

    monkeypatch.setattr(assets, "refresh", stop)
    result = run_raw_files(instance)

    assert not result.success
    assert not [event for event in result.all_events if event.is_step_up_for_retry]


def test_the_model_is_to_be_fresh() -> None:
    (spec,) = models.volume_model.specs

    assert spec.freshness_policy == dg.FreshnessPolicy.time_window(
        warn_window=timedelta(days=2), fail_window=timedelta(days=4)
    )
