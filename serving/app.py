"""The application: its parts put together, and the background tasks that follow the promoted model and write logs."""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from serving.gate import Gate
from serving.logs import AccessLog
from serving.recording import Recorder
from serving.routes import health, predict
from serving.security import Guard
from serving.store import ModelStore, logger
from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.settings import Settings, load_settings


def create_app(settings: Settings) -> FastAPI:
    """The service over one data folder; nothing is read from it before the application starts."""
    store = ModelStore(Layout(settings.data_dir).models / "volume_model")
    recorder = Recorder()
    access_log = AccessLog()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(store.refresh)
        async with _in_background(reloading=store.follow(settings.reload_seconds), access_log=access_log.flush_often()):
            yield

    app = FastAPIOffline(
        title="Stock volume predictions",
        description="Predicts a stock's daily trading volume with the model that was promoted last.",
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.store, app.state.recorder = store, recorder
    app.router.routes.append(predict.FastPredict(store, recorder))
    for routes in (predict, health):
        app.include_router(routes.router)
    app.add_middleware(Gate, guard=Guard(), access_log=access_log, seconds=settings.request_seconds)
    return app


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
