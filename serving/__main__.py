"""`python -m serving`: the service under uvicorn, on the address of the settings."""

import math
import os
import sys
import tempfile
from functools import partial
from typing import Any

import uvicorn

from serving.logs import LOGGING
from serving.metrics import FOLDER
from serving.protection import Protection
from serving.server import BoundedProtocol
from stock_assets.errors import UserError
from stock_assets.ports import port_problem
from stock_assets.settings import Settings, load_settings


def main() -> int:
    """Serve until interrupted. Gives 2 for wrong settings and 1 for an address that cannot be used."""
    try:
        settings = load_settings()
        # Here, since uvicorn would start a worker that ends at once again and again.
        Protection.of(settings)
        if settings.serving_from_lake:
            from serving.mirror import Mirror  # noqa: PLC0415 - for those who have a lake

            Mirror(settings)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    # uvicorn would find out only after the model was loaded, and say so in the middle of its log.
    if problem := port_problem(settings.host, settings.serving_port):
        print(problem, file=sys.stderr)
        return 1
    # Arrow's own allocator keeps what each thread once read, tens of megabytes a worker.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with tempfile.TemporaryDirectory(prefix="serving-metrics-") as folder:
        if settings.serving_workers > 1:
            os.environ[FOLDER] = folder
        _serve(settings)
    return 0


def _serve(settings: Settings) -> None:
    protocol: Any = partial(BoundedProtocol, seconds=settings.request_seconds)
    uvicorn.run(
        "serving.app:app",
        host=settings.host,
        port=settings.serving_port,
        workers=settings.serving_workers,
        http=protocol,
        ws="none",
        timeout_graceful_shutdown=math.ceil(settings.request_seconds),
        access_log=False,  # ours has the request's id
        server_header=False,
        log_config=LOGGING,
    )


if __name__ == "__main__":
    sys.exit(main())
