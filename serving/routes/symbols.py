"""`/symbols`: search by symbol or name, and a symbol's last days as a chart needs them."""

from typing import Annotated

from fastapi import APIRouter, Query

from serving.history import NO_BACKTEST, History, backtest_of, days_of, last_days
from serving.market import NO_SYMBOL, NOT_PUBLISHED, AskedSymbol, Market, Published
from serving.published import or_nothing
from serving.symbols import Symbol

router = APIRouter(prefix="/symbols", tags=["symbols"])


@router.get("", responses=NOT_PUBLISHED)
async def search(
    market: Published,
    q: Annotated[str, Query(max_length=100, description="Part of a symbol or of a security's name.")] = "",
    limit: Annotated[int, Query(ge=1, le=200, description="How many at most.")] = 20,
) -> list[Symbol]:
    """Symbols, best first: that symbol, ones that begin so, names with a word that does, names that hold it.

    Without `q` the first ones in order of their symbol.
    """
    return await market.read(_search, q, limit)


def _search(market: Market, query: str, limit: int) -> list[Symbol]:
    return market.symbols.get().search(query, limit)


@router.get("/{symbol}/history", responses={**NO_SYMBOL, **NOT_PUBLISHED})
async def history(
    symbol: AskedSymbol,
    market: Published,
    days: Annotated[int, Query(ge=1, le=2000, description="How many of the last trading days.")] = 250,
) -> History:
    """The last trading days of a symbol, what the back-test forecast for them, and the next day's forecast.

    Where nothing is published of the next-day model yet, the back-test is empty and the forecast null.
    """
    return await market.read(_history, symbol, days)


def _history(market: Market, asked: str, count: int) -> History:
    found = market.symbols.get().find(asked)
    # One day more than is shown: the first day's forecast was made from it.
    days = last_days(market.features(found.symbol), found.symbol, count + 1)
    forecasts = or_nothing(market.forecasts.get)
    return History(
        symbol=found.symbol,
        name=found.name,
        days=days_of({name: values[-count:] for name, values in days.items()}),
        backtest=or_nothing(lambda: backtest_of(market.backtest, found.symbol, days["Date"])) or NO_BACKTEST,
        forecast=forecasts.of(found.symbol, found.name) if forecasts else None,
    )
