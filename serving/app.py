"""The application: its parts put together, and the background task that follows the promoted model."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from serving.routes import health, predict
from serving.store import ModelStore, logger
from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.settings import Settings, load_settings


def create_app(settings: Settings) -> FastAPI:
    """The service over one data folder; nothing is read from it before the application starts."""
    store = ModelStore(Layout(settings.data_dir).models / "volume_model")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(store.refresh)
        following = asyncio.create_task(store.follow(settings.reload_seconds))
        following.add_done_callback(_log_failure)
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following

    app = FastAPIOffline(
        title="Stock volume predictions",
        description="Predicts a stock's daily trading volume with the model that was promoted last.",
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.store = store
    app.include_router(predict.router)
    app.include_router(health.router)
    return app


def _log_failure(following: asyncio.Task[None]) -> None:
    if not following.cancelled() and (error := following.exception()):
        logger.critical("new models are no longer noticed; restart the service", exc_info=error)


def _app() -> FastAPI:
    try:
        return create_app(load_settings())
    except UserError as error:
        sys.exit(f"serving: {error}")


app = _app()
