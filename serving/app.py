"""The application: its parts put together, and the background tasks that follow the promoted model and write logs."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from serving.catalogue import Catalogue
from serving.gate import Gate
from serving.logs import AccessLog
from serving.market import add_market
from serving.openapi import describe
from serving.protection import Protection
from serving.recording import Recorder
from serving.refusals import refusal
from serving.routes import batch, forecasts, health, metrics, mlflow, models, next_price, page, predict, symbols, v2
from serving.security import BodyLimit, Guard, cors
from serving.store import ModelStore, logger
from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.settings import Settings, load_settings

LAKE_PATIENCE = 10.0
"""Seconds that a start waits for what the lake has; it comes later then, and what was mirrored before is served."""


def create_app(settings: Settings) -> FastAPI:
    """The service over one data folder; nothing is read from it before the application starts."""
    store = ModelStore(Layout(settings.data_dir).models / "volume_model")
    mirrored = _mirrored(settings)
    recorder = Recorder()
    access_log = AccessLog()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with mirrored():
            await asyncio.to_thread(store.refresh)
            background = _in_background(
                reloading=store.follow(settings.reload_seconds), access_log=access_log.flush_often()
            )
            async with recorder.at_work(settings, store), background:
                yield

    app = FastAPIOffline(
        title="Stock volume predictions",
        description="Predicts a stock's daily trading volume with the model that was promoted last.",
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.store, app.state.recorder = store, recorder
    app.state.max_rows = settings.max_rows
    app.router.routes.insert(0, predict.FastPredict(store, recorder))  # before those of the docs, which cost it a tenth
    add_market(app, Layout(settings.data_dir))
    app.state.catalogue = Catalogue(Layout(settings.data_dir).models)
    page.add_page(app, Layout(settings.data_dir))
    for routes in (predict, batch, health, metrics, symbols, forecasts, next_price, models, page, v2, mlflow):
        app.include_router(routes.router)
    app.add_exception_handler(HTTPException, _refused)
    _protect(app, settings, access_log)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """No such path or method, or what a route of no protocol raised."""
    assert isinstance(error, HTTPException)  # what it is registered for  # noqa: S101
    return refusal(request.scope, error.status_code, error.detail, error.headers)


def _mirrored(settings: Settings) -> Callable[[], AbstractAsyncContextManager[None]]:
    """What keeps the data folder as the lake is while the service runs, if it is to be served from there."""
    if not settings.serving_from_lake:
        return nullcontext
    from serving.mirror import Mirror  # noqa: PLC0415 - for those who have a lake

    mirror = Mirror(settings)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        await asyncio.to_thread(mirror.start, LAKE_PATIENCE)
        try:
            yield
        finally:
            mirror.stop()

    return running


def _protect(app: FastAPI, settings: Settings, access_log: AccessLog) -> None:
    """Put around the application what a request passes before it, the innermost first."""
    protection = Protection.of(settings)
    app.add_middleware(BodyLimit, megabytes=settings.max_body_mb)
    if protection.keys or protection.limit:
        app.add_middleware(Guard, protection=protection)
    app.add_middleware(
        Gate, cors=partial(cors, origins=protection.origins), access_log=access_log, seconds=settings.request_seconds
    )
    describe(app, protection)


@asynccontextmanager
async def _in_background(**jobs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run endless jobs beside the service; one that fails is logged, and the service goes on without it."""
    tasks = [asyncio.create_task(job, name=name) for name, job in jobs.items()]
    for task in tasks:
        task.add_done_callback(_log_failure)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.critical("%s has ended for good; restart the service", task.get_name(), exc_info=error)


def _app() -> FastAPI:
    try:
        return create_app(load_settings())
    except UserError as error:
        sys.exit(f"serving: {error}")


app = _app()
