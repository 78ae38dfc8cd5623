"""`POST /predict`: predictions of many rows, as JSON, Arrow or Parquet."""

import re
from operator import itemgetter
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from serving.answers import Answers, Prediction
from serving.arrow_batches import (
    FILE,
    PARQUET,
    STREAM,
    answer_table,
    read_arrow_file,
    read_arrow_stream,
    read_parquet,
    write_arrow_file,
    write_arrow_stream,
    write_parquet,
)
from serving.batches import INLINE_BYTES, Batch, RefusedError, answered, body_of
from serving.dependencies import NO_MODEL, NO_VERSION, WITH_VERSION, ChosenModel, Problem, Recording
from serving.json_batches import read_json, write_json
from serving.model import LoadedModel
from serving.protocols import ProtocolRoute
from stock_assets.learning.volume import INPUTS, MAX_VOLUME

JSON = "application/json"
MOST_TYPES = 100
"""That are looked at of those that a client accepts; a header has room for 30,000."""
WEIGHT = re.compile(r"0?\.\d+|1(\.0*)?", re.ASCII)

router = APIRouter(tags=["predictions"], route_class=ProtocolRoute)


class Predictions(BaseModel):
    """The answers to rows, in their order."""

    model: str
    version: str
    predictions: list[Prediction]


class PredictionColumns(BaseModel):
    """The fields of `Prediction`, each a list with one element a row."""

    volume: list[int]
    low: list[int | None]
    high: list[int | None]
    warnings: list[list[str]]


class ColumnsOfPredictions(BaseModel):
    """The answers to columns, in the order of their values."""

    model: str
    version: str
    predictions: PredictionColumns = Field(description="One list for each field, all as long as the columns sent.")


def _number(name: str, limit: dict[str, float]) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, **limit, "description": name}


_VALUES = {
    INPUTS[0]: _number("Mean volume of 30 trading days, in shares.", {"maximum": MAX_VOLUME}),
    INPUTS[1]: _number("Median adjusted close of 30 trading days, in dollars.", {"maximum": 1.7e308}),
}
_ROWS = {"type": "array", "items": {"type": "object", "required": list(INPUTS), "properties": _VALUES}}
_SCHEMA: dict[str, Any] = {
    "oneOf": [
        {"type": "object", "title": "Rows", "required": ["rows"], "properties": {"rows": _ROWS}},
        {"title": "Bare rows", **_ROWS},
        {
            "type": "object",
            "title": "Columns of one length",
            "required": list(INPUTS),
            "properties": {
                "rows": False,
                **{name: {"type": "array", "items": value} for name, value in _VALUES.items()},
            },
        },
    ],
}
_READERS = {STREAM: read_arrow_stream, FILE: read_arrow_file, PARQUET: read_parquet}
_WRITERS = {STREAM: write_arrow_stream, FILE: write_arrow_file, PARQUET: write_parquet}
_BINARY: dict[str, Any] = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _READERS}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body ended early."},
    406: {"model": Problem, "description": "`Accept` names no type that there is."},
    413: {"model": Problem, "description": "More rows, or a larger body, than the service takes."},
    415: {"model": Problem, "description": "Another type of body, or a compressed one."},
    422: {"model": Problem, "description": "The body, or a value in it, is wrong; the detail names the first."},
}


@router.post(
    "/predict",
    response_class=Response,
    responses={
        200: {"model": Predictions | ColumnsOfPredictions, "headers": WITH_VERSION, "content": _BINARY},
        **_REFUSALS,
        **NO_MODEL,
        **NO_VERSION,
    },
    openapi_extra={"requestBody": {"required": True, "content": {JSON: {"schema": _SCHEMA}, **_BINARY}}},
)
async def predict_batch(request: Request, model: ChosenModel, recording: Recording) -> Response:
    """Predict each row's trading volume, in shares. The answers come in the order of the rows.

    Arrow and Parquet need the columns `vol_moving_avg` and `adj_close_rolling_med`, of any type of numbers; others are
    ignored. They are answered with the columns `volume`, `low`, `high` and `outside_training`. `Accept` may ask for
    another type than the one that was sent. Arrow's buffers must not be compressed.
    """
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != JSON and sent not in _READERS:
        raise RefusedError(415, f"the type {ascii(sent)[:100]} is not taken; send {JSON}, {', '.join(_READERS)}")
    wanted = _wanted(request.headers.get("accept", "*/*"), sent)
    body = await body_of(request)
    max_rows: int = request.app.state.max_rows

    def read() -> Batch:
        if sent == JSON:
            inputs, as_columns = read_json(body, max_rows)
        else:
            inputs, as_columns = _READERS[sent](body, max_rows), False
        return Batch(inputs, lambda answers: _response(model, answers, wanted, as_columns=as_columns))

    # A few kilobytes of Parquet can be a million rows.
    return await answered(model, recording, read, inline=sent == JSON and len(body) <= INLINE_BYTES)


def _wanted(accept: str, sent: str) -> str:
    """The type to answer in: the one that the client prefers, else the one that it sent."""
    ranges = []
    for part in accept.split(",")[:MOST_TYPES]:
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        if WEIGHT.fullmatch(weight) and float(weight) > 0:
            ranges.append((float(weight), kind))
    for _, kind in sorted(ranges, key=itemgetter(0), reverse=True):
        if kind == JSON or kind in _WRITERS:
            return kind
        if kind in ("*/*", "application/*"):
            return sent
    raise RefusedError(406, f"there are {JSON}, {', '.join(_WRITERS)}")


def _response(model: LoadedModel, answers: Answers, kind: str, *, as_columns: bool) -> Response:
    if kind == JSON:
        content = write_json(model, answers, as_columns=as_columns)
    else:
        content = _WRITERS[kind](answer_table(model, answers))
    return Response(content, media_type=kind)
