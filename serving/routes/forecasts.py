"""What is published of a symbol as answers: the prediction as of a day, the next day's forecast, and why it is so."""

import datetime
import re
from typing import Annotated, Literal, NoReturn

import numpy as np
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import to_json

from serving.answers import Prediction, answer
from serving.asof import WINDOW, AsOf, Status, as_of
from serving.dependencies import (
    NO_MODEL,
    NO_VERSION,
    VERSION_HEADER,
    WITH_VERSION,
    ChosenModel,
    Problem,
    Recording,
)
from serving.explanations import Explanation, explanation_of
from serving.forecasts import ORDERS, Forecast, as_csv, as_parquet
from serving.market import NO_SYMBOL, NOT_PUBLISHED, AskedSymbol, Market, NotFound, Published
from serving.symbols import Symbol, UnknownSymbolError

router = APIRouter(tags=["symbols"])


def _full_date(value: object) -> object:
    """Pydantic alone also takes seconds since 1970 for a date."""
    if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
        raise ValueError("a date is written YYYY-MM-DD")
    return value


Day = Annotated[
    datetime.date,
    BeforeValidator(_full_date),
    Query(description="A day, YYYY-MM-DD; the newest day of the data if it is left out.", examples=["2020-03-02"]),
]


async def _asked_row(symbol: AskedSymbol, market: Published, date: Day | None = None) -> AsOf:
    return await market.read(_as_of, symbol, date)


def _as_of(market: Market, asked: str, day: datetime.date | None) -> AsOf:
    symbols = market.symbols.get()
    symbol = symbols.find(asked)
    return as_of(market.features(symbol.symbol), symbol, day or symbols.newest or symbol.last_date)


AskedRow = Annotated[AsOf, Depends(_asked_row)]


class Features(BaseModel):
    """Both inputs of the volume model; null until there are 30 rows."""

    vol_moving_avg: float | None = Field(description="Mean volume of the 30 trading days up to `as_of`, in shares.")
    adj_close_rolling_med: float | None = Field(description="Median adjusted close of the same days, in dollars.")


class SymbolPrediction(BaseModel):
    """A symbol's volume on a day, as the model predicts it from the features of that day."""

    symbol: str
    name: str | None = Field(description="The security's name; null where the source has none.")
    date: datetime.date = Field(description="The day that was asked for, or the newest day of the data.")
    as_of: datetime.date = Field(description="The symbol's last trading day up to then: all below is of this day.")
    status: Status = Field(
        description="present: the row is of that day. stale: it is of an earlier one. warm_up: the symbol has fewer "
        "than 30 rows up to then, so that there is no prediction."
    )
    stale_days: int = Field(description="Calendar days from `as_of` to `date`.")
    rows: int = Field(description="The symbol's trading days up to `as_of`.")
    rows_missing: int = Field(description="Trading days until the first prediction; 0 where there is one.")
    features: Features
    actual: int = Field(description="Shares that were traded on `as_of`.")
    prediction: Prediction | None = Field(
        description="null in the warm-up, and where a price is below 0, which no model was trained on."
    )
    version: str = Field(description="The version of the model that answered.")


@router.get(
    "/predict/{symbol}",
    responses={
        200: {"headers": WITH_VERSION},
        **NO_VERSION,
        404: {"model": NotFound | Problem, "description": "There is no such symbol, nothing of it yet, or no version."},
        503: {"model": Problem, "description": f"{NO_MODEL[503]['description']} Or a table is not published yet."},
    },
)
async def predict_symbol(
    model: ChosenModel, row: AskedRow, recording: Recording, response: Response
) -> SymbolPrediction:
    """Predict a symbol's volume on a day from its published features of that day, or of its last one before it."""
    prediction = None
    if inputs := row.inputs():
        prediction = answer(model, np.array([inputs])).prediction(0)
        recording.one(model, inputs, prediction.volume)
    response.headers[VERSION_HEADER] = model.version
    return SymbolPrediction(
        symbol=row.symbol.symbol,
        name=row.symbol.name,
        date=row.asked,
        as_of=row.day,
        status=row.status,
        stale_days=row.stale_days,
        rows=row.rows,
        rows_missing=row.rows_missing,
        features=Features(
            vol_moving_avg=row.vol_moving_avg,
            adj_close_rolling_med=row.adj_close_rolling_med,
        ),
        actual=row.volume,
        prediction=prediction,
        version=model.version,
    )


@router.get("/forecast/{symbol}", responses={200: {"headers": WITH_VERSION}, **NO_SYMBOL, **NOT_PUBLISHED})
async def forecast(symbol: AskedSymbol, market: Published, response: Response) -> Forecast:
    """The forecast of a symbol's volume on its next trading day."""
    found = await market.read(_forecast, symbol)
    response.headers[VERSION_HEADER] = found.version
    return found


def _forecast(market: Market, asked: str) -> Forecast:
    symbol = market.symbols.get().find(asked)
    return market.forecasts.get().of(symbol.symbol, symbol.name) or _no_forecast(symbol)


def _no_forecast(symbol: Symbol) -> NoReturn:
    """Raises the error that says why."""
    why = f"it has {symbol.rows} trading days of {WINDOW}" if symbol.rows < WINDOW else "run the pipeline (make run)"
    raise UnknownSymbolError(f"there is no forecast of {symbol.symbol} yet: {why}", [])


class ForecastList(BaseModel):
    """Forecasts in the order that was asked for, all by one version."""

    version: str = Field(description="The version of the model that forecast.")
    as_of: datetime.date | None = Field(description="The newest day that a forecast was made from.")
    total: int = Field(description="How many symbols have a forecast.")
    forecasts: list[Forecast]


TYPES = {"json": "application/json", "csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


@router.get(
    "/forecasts",
    response_model=ForecastList,
    responses={
        200: {
            "headers": WITH_VERSION,
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                TYPES["parquet"]: {"schema": {"type": "string", "format": "binary"}},
            },
        },
        **NOT_PUBLISHED,
    },
)
async def forecasts(
    market: Published,
    top: Annotated[int, Query(ge=1, le=20_000, description="How many; there are fewer symbols than the limit.")] = 50,
    sort: Annotated[
        str,
        Query(
            pattern=f"^-?({'|'.join(ORDERS)})$",
            description="What to sort by, with `-` before it from the largest. `change` is the forecast against the "
            "mean of the last 20 days.",
        ),
    ] = "-forecast",
    format: Annotated[Literal["json", "csv", "parquet"], Query(description="As what.")] = "json",  # noqa: A002
) -> Response:
    """The forecasts of the next trading day, of all symbols or the first ones in an order."""
    return await market.read(_forecasts, top, sort, format)


def _forecasts(market: Market, top: int, sort: str, kind: str) -> Response:
    found = market.forecasts.get()
    rows = found.first(top, sort, market.symbols.get().names())
    headers = {VERSION_HEADER: found.version}
    if kind == "json":
        answer = {"version": found.version, "as_of": found.newest, "total": len(found), "forecasts": rows}
        return Response(to_json(answer), media_type=TYPES[kind], headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="forecasts.{kind}"'
    return Response((as_csv if kind == "csv" else as_parquet)(rows), media_type=TYPES[kind], headers=headers)


@router.get("/explain/{symbol}", responses={200: {"headers": WITH_VERSION}, **NO_SYMBOL, **NOT_PUBLISHED})
async def explain(
    symbol: AskedSymbol,
    market: Published,
    response: Response,
    top: Annotated[int, Query(ge=1, le=100, description="How many inputs, those that did most first.")] = 10,
) -> Explanation:
    """Why the forecast of a symbol is what it is: what each input did to it (SHAP values)."""
    found = await market.read(_explanation, symbol, top)
    response.headers[VERSION_HEADER] = found.version
    return found


def _explanation(market: Market, asked: str, top: int) -> Explanation:
    symbol = market.symbols.get().find(asked)
    return explanation_of(market.explanations, symbol, top) or _no_forecast(symbol)
