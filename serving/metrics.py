"""What `/metrics` tells Prometheus, of all workers together.

With several workers each writes its numbers to files in the folder PROMETHEUS_MULTIPROC_DIR, which `python -m serving`
makes before they start; whichever worker is asked adds them up. What a worker that died has counted stays in the sums,
and it is left out of the gauges.
"""

import os
from contextlib import suppress
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD, UNMATCHED = "other", "unmatched"
"""For what clients make up: each value of a label is kept for good."""

REQUESTS = Counter("serving_requests", "Requests by their answer.", ["method", "route", "status"])
SECONDS = Histogram(
    "serving_request_seconds",
    "Time from a request's first byte to the end of its answer.",
    ["route"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30),
)
PREDICTIONS = Counter("serving_predictions", "Rows that were predicted.", ["model", "version"])
BATCH_ROWS = Histogram(
    "serving_batch_rows", "Rows of the requests that bring several.", buckets=(1, 10, 100, 1e3, 1e4, 1e5, 1e6)
)
MODEL_WORKERS = Gauge(
    "serving_model_workers", "Workers that serve this version.", ["model", "version"], multiprocess_mode="livesum"
)
MODEL_RELOADS = Counter("serving_model_reloads", "Promoted versions by what became of them.", ["model", "outcome"])
LOG_DROPPED = Counter(
    "serving_prediction_log_dropped_rows", "Predictions that came too fast to be kept, or that the disk did not take."
)
SHADOW_ROWS = Counter(
    "serving_shadow_rows", "Predictions that a shadow version made too.", ["model", "served", "shadow"]
)
SHADOW_DIFFERENCE = Counter(
    "serving_shadow_difference_shares",
    "Sum of the absolute differences between both answers, in shares.",
    ["model", "served", "shadow"],
)
SHADOW_LOG_RATIO = Counter(
    "serving_shadow_log_ratio",
    "Sum of the absolute log ratios between both answers, each with one share more.",
    ["model", "served", "shadow"],
)
SHADOW_FAILURES = Counter("serving_shadow_failures", "Shadow versions that could not be loaded.", ["shadow"])


def exposition() -> bytes:
    """The numbers of all workers in Prometheus' text format."""
    if FOLDER not in os.environ:
        return generate_latest(REGISTRY)
    _forget_dead_workers(Path(os.environ[FOLDER]))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _forget_dead_workers(folder: Path) -> None:
    """Nobody else does: uvicorn only starts another one, and one that was killed could not."""
    for file in folder.glob("gauge_live*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # another worker is asked at the same time, and was first
                mark_process_dead(pid)  # type: ignore[no-untyped-call]
