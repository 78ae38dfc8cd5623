"""What the OpenAPI document says of all routes alike: the answers of what stands before them, and the keys."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from serving.protection import Protection
from serving.security import is_open, is_probe

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
ASKS_FOR_KEY = {"WWW-Authenticate": {"schema": {"type": "string"}}}


def describe(app: FastAPI, protection: Protection) -> None:
    """Make `app.openapi()` tell of its protection too; the document is made once, when it is asked for first."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            for path, operation in _operations(document):
                _add_answers(path, operation, protection)
            if protection.keys:
                document.setdefault("components", {})["securitySchemes"] = SCHEMES
        return plain()

    app.openapi = described  # type: ignore[method-assign]


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def _add_answers(path: str, operation: dict[str, Any], protection: Protection) -> None:
    _add(path, operation, 504, "There was no answer within the time that the service gives a request.")
    if "requestBody" in operation:
        _add(path, operation, 413, "The body is too large.")
    if protection.limit and not is_probe(path):
        _add(path, operation, 429, f"More than {protection.limit}.", RETRY_AFTER)
    if protection.keys:
        free = is_open(path, "application/json")
        operation["security"] = [] if free else [{name: []} for name in SCHEMES]
        if not free:
            _add(path, operation, 401, "No key, or one that is not known.", ASKS_FOR_KEY)


def _add(path: str, operation: dict[str, Any], status: int, why: str, headers: dict[str, Any] | None = None) -> None:
    """An answer in the shape that `refusals.refusal` gives it, unless the route has its own."""
    key = "error" if path.startswith("/v2") else "detail"
    schema = {"type": "object", "properties": {key: {"type": "string"}}, "required": [key]}
    answer = {"description": why, "headers": headers or {}, "content": {"application/json": {"schema": schema}}}
    operation["responses"].setdefault(str(status), answer)
