"""Who may ask, how often, how much, and from which pages."""

from collections.abc import Iterator
from ipaddress import ip_address

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.protection import Protection
from serving.refusals import refusal
from stock_assets.api_keys import matching

MEGABYTE = 1_000_000
MOST_BODIES = 8
"""Bodies of full size that a worker holds at once, or as many bytes in smaller ones."""


def cors(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """`app` for the pages of these origins too; no cookies are allowed, so a page must bring a key of its own."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "POST"),
        allow_headers=("Authorization", "Content-Type", "X-API-Key", "X-Request-Id"),
        expose_headers=("X-Model-Version", "X-Request-Id", "Retry-After"),
    )


def is_probe(path: str) -> bool:
    """What load balancers ask: without a key, as often as they like."""
    return path == "/ping" or path.startswith(("/health/", "/v2/health/"))


def is_open(path: str, accept: str) -> bool:
    """What is answered without a key: probes, and the page, which holds no data before it is given one."""
    if path == "/":
        return not wants_json(accept)
    return is_probe(path) or path == "/favicon.ico" or path.startswith("/static/")


def wants_json(accept: str) -> bool:
    """Whether `/` is asked for its summary. Browsers ask for HTML first; programs that care name JSON and not HTML."""
    return "application/json" in accept and "text/html" not in accept


class Guard:
    """Middleware for where keys or a limit are set: who has no key or asks too often comes no further."""

    def __init__(self, app: ASGIApp, protection: Protection) -> None:
        self._app = app
        self._keys = protection.keys
        self._limit = protection.limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_probe(scope["path"]):
            await self._app(scope, receive, send)
            return
        known = self._known(scope)
        # A guessed key counts for the address, so that guessing is as limited as asking.
        if self._limit and (wait := self._limit.wait(known.hex() if known else _address(scope))):
            app: ASGIApp = refusal(
                scope, 429, f"more than {self._limit}; try again in {wait} s", {"Retry-After": str(wait)}
            )
        elif self._keys and not known and not is_open(scope["path"], Headers(scope=scope).get("accept", "")):
            app = refusal(
                scope,
                401,
                "this service asks for a key, as Authorization: Bearer KEY or X-API-Key: KEY",
                {"WWW-Authenticate": "Bearer"},
            )
        else:
            app = self._app
        await app(scope, receive, send)

    def _known(self, scope: Scope) -> bytes | None:
        """The hash of the key that came with a request, if it is one of ours."""
        given = _given(scope) if self._keys else ()
        return next((known for key in given if (known := matching(self._keys, key))), None)


def _given(scope: Scope) -> Iterator[bytes]:
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            yield value
        elif name == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() == b"bearer":
                yield key.strip()


def _address(scope: Scope) -> str:
    """The client's address; of IPv6 the half that a provider gives out, since one client has all of the other half."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(int(address) >> 64)


class BodyLimit:
    """Middleware that stops a body which is too large, before it is read where it says its length.

    All bodies together are bounded too, since many connections may each send one that is not too large.
    The route that reads it is told, so that each protocol answers in its own shape; Starlette's own middleware answers
    in plain text.
    """

    def __init__(self, app: ASGIApp, megabytes: int) -> None:
        self._app = app
        self._bytes = megabytes * MEGABYTE
        self._held = 0
        self._problem = f"the body is larger than {megabytes} MB (STOCK_ASSETS_MAX_BODY_MB); send it in parts"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        # Longer numbers would be refused too; the server has seen to it that it is one.
        too_large = len(declared) > 15 or int(declared) > self._bytes
        arrived = 0

        async def receive_some() -> Message:
            nonlocal arrived
            if too_large or arrived > self._bytes:
                raise HTTPException(413, self._problem)
            message = await receive()
            some = len(message.get("body", b""))
            arrived, self._held = arrived + some, self._held + some
            if arrived > self._bytes:
                raise HTTPException(413, self._problem)
            if self._held > MOST_BODIES * self._bytes:
                raise HTTPException(503, "more is being sent at once than this worker can hold; try again")
            return message

        try:
            await self._app(scope, receive_some, send)
        finally:
            self._held -= arrived
