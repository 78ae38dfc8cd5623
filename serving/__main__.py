"""`python -m serving`: the service under uvicorn, on the address of the settings."""

import socket
import sys

import uvicorn

from stock_assets.errors import UserError
from stock_assets.settings import Settings, load_settings


def main() -> int:
    """Serve until interrupted. Gives 2 for wrong settings and 1 for an address that cannot be used."""
    try:
        settings = load_settings()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        _try_address(settings)
    except OSError as error:
        print(
            f"cannot listen on {settings.host} port {settings.serving_port}: {error.strerror}; "
            "stop what uses it, or set STOCK_ASSETS_HOST or STOCK_ASSETS_SERVING_PORT",
            file=sys.stderr,
        )
        return 1
    uvicorn.run("serving.app:app", host=settings.host, port=settings.serving_port)
    return 0


def _try_address(settings: Settings) -> None:
    # uvicorn would find out only after the model was loaded, and say so in the middle of its log.
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((settings.host, settings.serving_port))


if __name__ == "__main__":
    sys.exit(main())
