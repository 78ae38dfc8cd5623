"""`python -m serving`: the service under uvicorn, on the address of the settings."""

import sys

import uvicorn

from stock_assets.errors import UserError
from stock_assets.ports import port_problem
from stock_assets.settings import load_settings


def main() -> int:
    """Serve until interrupted. Gives 2 for wrong settings and 1 for an address that cannot be used."""
    try:
        settings = load_settings()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    # uvicorn would find out only after the model was loaded, and say so in the middle of its log.
    if problem := port_problem(settings.host, settings.serving_port):
        print(problem, file=sys.stderr)
        return 1
    uvicorn.run("serving.app:app", host=settings.host, port=settings.serving_port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
