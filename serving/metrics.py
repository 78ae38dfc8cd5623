"""What `/metrics` tells Prometheus, of all workers together.

With several workers each writes its numbers to files in the folder PROMETHEUS_MULTIPROC_DIR, which `python -m serving`
makes before they start; whichever worker is asked adds them up. A worker that died stays in the sums.
"""

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

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


def exposition() -> bytes:
    """The numbers of all workers in Prometheus' text format."""
    if FOLDER not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
