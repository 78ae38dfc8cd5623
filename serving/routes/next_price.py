"""`/next-price`: the price of a crypto asset on its next day, and whether that says more than today's price does."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from serving import next_price
from serving.dependencies import VERSION_HEADER, WITH_VERSION
from serving.market import NOT_PUBLISHED, Market, NoAsset, Published
from serving.next_price import NextPrice, NextPriceList, PriceHistory

router = APIRouter(tags=["crypto"])

Asset = Annotated[
    str,
    Path(max_length=next_price.LONGEST, description="A crypto asset, in upper or lower case.", examples=["algorand"]),
]
ANSWERED: dict[int | str, dict[str, Any]] = {200: {"headers": WITH_VERSION}, **NOT_PUBLISHED}
NO_ASSET: dict[int | str, dict[str, Any]] = {404: {"model": NoAsset, "description": "There is no such asset."}}


@router.get("/next-prices", responses=ANSWERED)
async def all_next_prices(market: Published, response: Response) -> NextPriceList:
    """The predicted next-day price of every crypto asset, in short, and what the model is worth."""
    found = await market.read(_all)
    response.headers[VERSION_HEADER] = found.version
    return found


def _all(market: Market) -> NextPriceList:
    return market.next_prices.get().all()


@router.get("/next-price/{asset}", responses={**ANSWERED, **NO_ASSET})
async def one_next_price(asset: Asset, market: Published, response: Response) -> NextPrice:
    """The predicted price of a crypto asset on the day after its newest one, and whether it beats today's price."""
    found = await market.read(_one, asset)
    response.headers[VERSION_HEADER] = found.version
    return found


def _one(market: Market, asked: str) -> NextPrice:
    return market.next_prices.get().of(asked)


@router.get("/next-price/{asset}/history", responses={**ANSWERED, **NO_ASSET})
async def history(
    asset: Asset,
    market: Published,
    response: Response,
    days: Annotated[int, Query(ge=1, le=5000, description="How many of the last days.")] = 365,
) -> PriceHistory:
    """The last days of a crypto asset: its prices, what was predicted of each the day before, and the next day."""
    found = await market.read(_history, asset, days)
    response.headers[VERSION_HEADER] = found.forecast.version
    return found


def _history(market: Market, asked: str, count: int) -> PriceHistory:
    return market.next_prices.get().history(asked, count)
