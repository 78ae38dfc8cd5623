"""Routes whose every refusal has the one shape that their protocol knows, FastAPI's own refusals included."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse

from serving.batches import RefusedError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class ProtocolRoute(APIRoute):
    """The base of such routes. `invalid` is the status of a request whose values are wrong."""

    invalid = 422

    @staticmethod
    def problem(status: int, detail: str) -> dict[str, Any]:  # noqa: ARG004 - protocols put it into the body
        """The body of an error."""
        return {"detail": detail}

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            headers = None
            try:
                return await handler(request)
            except RefusedError as error:
                status, detail = error.status, error.detail
            except RequestValidationError as error:
                status, detail = 422, "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            except HTTPException as error:
                status, detail, headers = error.status_code, str(error.detail), error.headers
            status = self.invalid if status == 422 else status
            return JSONResponse(self.problem(status, detail), status, headers)

        return handle
