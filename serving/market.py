"""What routes ask for of the published tables, and how they answer where a table or a symbol is not there."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path as FilePath
from typing import Annotated, Any, Concatenate, Literal, ParamSpec, TypeVar

from fastapi import Depends, FastAPI, Path, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from serving import forecasts, next_price, symbols
from serving.dependencies import Problem
from serving.forecasts import Forecasts
from serving.next_price import NextPrices, UnknownAssetError
from serving.published import Cached, NotPublishedError
from serving.symbols import Symbol, Symbols, UnknownSymbolError
from stock_assets.layout import Layout, letter_of

P = ParamSpec("P")
T = TypeVar("T")

READERS = 2
"""Threads of their own for reading: each that ever decoded a file keeps some megabytes."""


class Market:
    """The published tables of a data folder; nothing is read before it is asked for."""

    def __init__(self, layout: Layout) -> None:
        self.symbols = Cached(layout.symbols, Symbols, symbols.COLUMNS)
        self.forecasts = Cached(layout.next_day("forecasts"), Forecasts, forecasts.COLUMNS)
        self.next_prices = Cached(
            layout.crypto("next_price_predictions"), NextPrices, next_price.COLUMNS, next_price.REMEDY
        )
        self.backtest = layout.next_day("backtest")
        self.explanations = layout.next_day("explanations")
        self._layout = layout
        self._readers = ThreadPoolExecutor(READERS, "published")

    async def read(self, work: Callable[Concatenate["Market", P], T], *args: P.args, **options: P.kwargs) -> T:
        """What a function of this and more arguments gives, while the event loop goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, partial(work, self, *args, **options))

    def features(self, symbol: str) -> FilePath:
        """The file with the features of a symbol."""
        return self._layout.parquet("features", letter_of(symbol))


async def _market(request: Request) -> Market:
    market: Market = request.app.state.market
    return market


Published = Annotated[Market, Depends(_market)]
AskedSymbol = Annotated[
    str, Path(max_length=symbols.LONGEST, description="A symbol, in upper or lower case.", examples=["AAPL"])
]


class NotFound(BaseModel):
    """There is no such symbol, or nothing of it for what was asked."""

    status: Literal["not_found"] = "not_found"
    detail: str = Field(description="What there is not, and what there is instead.")
    near: list[Symbol] = Field(description="Symbols that may be meant, best first.")


class NoAsset(BaseModel):
    """There is no such crypto asset."""

    status: Literal["not_found"] = "not_found"
    detail: str = Field(description="What there is not, and what there is instead.")
    known: list[str] = Field(description="The assets there are, at most 20, those first that are spelt most like it.")


NO_SYMBOL: dict[int | str, dict[str, Any]] = {404: {"model": NotFound, "description": "There is no such symbol."}}
NOT_PUBLISHED: dict[int | str, dict[str, Any]] = {
    503: {"model": Problem, "description": "A table is not published yet; the detail says which and what to do."}
}


def add_market(app: FastAPI, layout: Layout) -> None:
    """Let the routes of an application read the published tables."""
    app.state.market = Market(layout)
    app.add_exception_handler(UnknownSymbolError, _unknown_symbol)
    app.add_exception_handler(UnknownAssetError, _unknown_asset)
    app.add_exception_handler(NotPublishedError, _not_published)


async def _unknown_symbol(_: Request, error: Exception) -> JSONResponse:
    near = error.near if isinstance(error, UnknownSymbolError) else []
    return JSONResponse(NotFound(detail=str(error), near=near).model_dump(mode="json"), 404)


async def _unknown_asset(_: Request, error: Exception) -> JSONResponse:
    known = error.known if isinstance(error, UnknownAssetError) else []
    return JSONResponse(NoAsset(detail=str(error), known=known).model_dump(mode="json"), 404)


async def _not_published(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503)
