"""The one shape of a refusal that is of no protocol's own route."""

from collections.abc import Mapping

from starlette.responses import JSONResponse
from starlette.types import Scope


def refusal(scope: Scope, status: int, problem: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """`{"detail": problem}`, or what the inference protocol's clients read below its own path."""
    path = scope["path"]
    key = "error" if path == "/v2" or path.startswith("/v2/") else "detail"
    return JSONResponse({key: problem}, status, headers)
