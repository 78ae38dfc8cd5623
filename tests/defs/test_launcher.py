"""Whether a run's process is still there, as the launcher of a server tells run monitoring."""

import dagster as dg
import pytest
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import serialize_value

from stock_assets.defs.launcher import WatchedRunLauncher


class CodeServer:
    """Answers as a code server's client does; `runs` is None where the server is away."""

    def __init__(self, runs: set[str] | None) -> None:
        self.runs = runs

    def can_cancel_execution(self, request: CanCancelExecutionRequest, timeout: int) -> str:  # noqa: ARG002 - as the real one
        if self.runs is None:
            raise DagsterUserCodeUnreachableError("away")
        return serialize_value(CanCancelExecutionResult(can_cancel=request.run_id in self.runs))


@pytest.mark.parametrize(
    ("server", "status"),
    [
        (CodeServer({"a-run"}), WorkerStatus.RUNNING),
        (CodeServer(set()), WorkerStatus.NOT_FOUND),
        (CodeServer(None), WorkerStatus.RUNNING),
        (None, WorkerStatus.RUNNING),
    ],
    ids=["has it", "was restarted", "is away", "of the command line"],
)
def test_a_run_is_missing_only_when_its_server_says_so(
    monkeypatch: pytest.MonkeyPatch, server: CodeServer | None, status: WorkerStatus
) -> None:
    launcher = WatchedRunLauncher()
    monkeypatch.setattr(launcher, "_get_grpc_client_for_termination", lambda _: server)
    run = dg.DagsterRun(job_name="full_refresh", run_id="a-run")

    assert launcher.supports_check_run_worker_health
    assert launcher.check_run_worker_health(run).status is status
