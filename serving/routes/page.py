"""`/`: the page for browsers, a summary for programs; and the files of the page."""

import asyncio
from datetime import date, datetime
from typing import Any, NamedTuple

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from serving.assets import Asset, Assets, unzipped
from serving.published import Cached, Columns, NotPublishedError
from serving.security import wants_json
from serving.store import ModelStore
from stock_assets.layout import Layout

router = APIRouter()

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing but the service's own files. `blob:` is for pictures that are fetched with a key."""
FOR_EVER = "public, max-age=31536000, immutable"
LINKS = {
    "reference": "docs",
    "openapi": "openapi.json",
    "models": "models",
    "symbols": "symbols",
    "forecasts": "forecasts",
    "predict": "predict",
    "ready": "health/ready",
}


class Summary(BaseModel):
    """What the service is and how fresh its data are."""

    service: str = "stock volume predictions"
    model: str | None = Field(description="The model in service; null before the first.")
    version: str | None
    promoted_at: datetime | None
    problem: str | None = Field(description="Why there is no model, or why it is not the promoted one.")
    data_version: str | None = Field(description="Changes with the tables; null before they are published.")
    source: str | None = Field(description="Where the prices come from: demo, folder or kaggle.")
    newest_day: date | None = Field(description="The newest day of the tables.")
    symbols: int | None = Field(description="How many symbols the tables have.")
    links: dict[str, str] = Field(description="Addresses, relative to this one.")


class Freshness(NamedTuple):
    """What the published table of symbols says of all the tables."""

    newest_day: date | None = None
    symbols: int | None = None
    data_version: str | None = None
    source: str | None = None


def add_page(app: FastAPI, layout: Layout) -> None:
    """Let the routes of an application read the page's files and the freshness of the tables."""
    app.state.assets = Assets()
    app.state.freshness = Cached(layout.symbols, _freshness, ["last_date"])


@router.get(
    "/",
    tags=["page"],
    response_model=Summary,
    responses={
        200: {"content": {"text/html": {}}, "description": "The page, or for `Accept: application/json` the summary."},
        304: {"description": "The page has not changed."},
    },
)
async def page(request: Request) -> Response:
    """A page to search symbols, see forecasts and try predictions; for programs, what the service is."""
    if wants_json(request.headers.get("accept", "")):
        summary = await asyncio.to_thread(_summary, request.app.state.store, request.app.state.freshness)
        return JSONResponse(summary.model_dump(mode="json"), headers={"Vary": "Accept", "Cache-Control": "no-store"})
    asset = await asyncio.to_thread(request.app.state.assets.get, "index.html")
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return await _answer(request, asset, headers, vary="Accept, Accept-Encoding")


@router.api_route("/static/{version}/{name}", methods=["GET", "HEAD"], include_in_schema=False)
async def static_file(request: Request, version: str, name: str) -> Response:
    """A file of the page. The version is part of its address, so that it can be kept for ever."""
    asset = await asyncio.to_thread(request.app.state.assets.get, name)
    if asset is None:
        raise HTTPException(404, "the page has no such file")
    # A page that was loaded before an update asks for files by the version before: it gets the new ones, unkept.
    return await _answer(request, asset, {"Cache-Control": FOR_EVER if version == asset.version else "no-cache"})


@router.api_route("/favicon.ico", methods=["GET", "HEAD"], include_in_schema=False)
async def icon(request: Request) -> Response:
    """What browsers ask for by themselves on pages that name no icon."""
    asset = await asyncio.to_thread(request.app.state.assets.get, "icon.svg")
    return await _answer(request, asset, {"Cache-Control": "public, max-age=86400"})


async def _answer(request: Request, asset: Asset, headers: dict[str, str], vary: str = "Accept-Encoding") -> Response:
    tag = f'W/"{asset.version}"'
    headers = headers | {"ETag": tag, "Vary": vary}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.compressed, media_type=asset.media_type, headers={**headers, "Content-Encoding": "gzip"})
    content = await asyncio.to_thread(unzipped, asset)
    return Response(content, media_type=asset.media_type, headers=headers)


def _summary(store: ModelStore, freshness: Cached[Freshness]) -> Summary:
    model = store.model
    try:
        tables = freshness.get()
    except NotPublishedError:
        tables = Freshness()
    return Summary(
        model=model.name if model else None,
        version=model.version if model else None,
        promoted_at=model.promoted_at if model else None,
        problem=store.problem,
        links=LINKS,
        **tables._asdict(),
    )


def _freshness(columns: Columns, said: dict[str, str]) -> Freshness:
    days: Any = columns["last_date"]
    newest = days.max().item() if len(days) else None
    return Freshness(newest, len(days), said.get("data_version"), said.get("source"))
