"""MLflow's scoring protocol: `POST /invocations`, and `GET /ping` and `/version` beside it."""

import json
from importlib.metadata import version as installed_version
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from serving.batches import INLINE_BYTES, Batch, RefusedError, answered, body_of
from serving.dependencies import WITH_VERSION, CurrentModel, Recording
from serving.mlflow_scoring import FIELDS, read_scoring_csv, read_scoring_json
from serving.protocols import ProtocolRoute
from stock_assets.learning.volume import INPUTS

READERS = {"application/json": read_scoring_json, "text/csv": read_scoring_csv}


class ScoringRoute(ProtocolRoute):
    """Errors as MLflow has them."""

    invalid = 400

    @staticmethod
    def problem(status: int, detail: str) -> dict[str, Any]:
        code = "BAD_REQUEST" if status < 500 else "TEMPORARILY_UNAVAILABLE"
        return {"error_code": code, "message": detail}


class ScoringProblem(BaseModel):
    """The body of an error."""

    error_code: str
    message: str


class Scores(BaseModel):
    """The answers to rows, in their order."""

    predictions: list[int] = Field(description="Predicted volumes, in shares.")


def _refusal(description: str) -> dict[str, Any]:
    return {"model": ScoringProblem, "description": description}


_UNREADY: dict[int | str, dict[str, Any]] = {503: _refusal("No model is in service; the message says why.")}
_TABLE = {name: {"type": "number", "minimum": 0} for name in INPUTS}
_ROWS = {"type": "array", "items": {"type": "array", "items": {"type": "number", "minimum": 0}}}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Exactly one of its fields; `params` is ignored. Rows without names are in the order of the inputs.",
    "properties": {
        "dataframe_split": {
            "type": "object",
            "required": ["columns", "data"],
            "properties": {"columns": {"type": "array", "items": {"type": "string"}}, "data": _ROWS},
        },
        "dataframe_records": {
            "type": "array",
            "items": {"type": "object", "required": list(INPUTS), "properties": _TABLE},
        },
        "inputs": {"anyOf": [_ROWS, {"type": "object", "required": list(INPUTS)}]},
        "instances": {"anyOf": [_ROWS, {"type": "array", "items": {"type": "object", "required": list(INPUTS)}}]},
    },
    "oneOf": [{"required": [field]} for field in FIELDS],
}
_BODY = {"application/json": {"schema": _SCHEMA}, "text/csv": {"schema": {"type": "string"}}}

router = APIRouter(tags=["MLflow's scoring protocol"], route_class=ScoringRoute)


@router.post(
    "/invocations",
    response_class=Response,
    responses={
        200: {"model": Scores, "headers": WITH_VERSION},
        400: _refusal("The body, or a value in it, is wrong; the message names the first."),
        413: _refusal("More rows, or a larger body, than the service takes."),
        415: _refusal("Another type of body, or a compressed one."),
        **_UNREADY,
    },
    openapi_extra={"requestBody": {"required": True, "content": _BODY}},
)
async def invocations(request: Request, model: CurrentModel, recording: Recording) -> Response:
    """Predict the volume of each row, in shares."""
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent not in READERS:
        raise RefusedError(415, f"the type {ascii(sent)[:100]} is not taken; send {' or '.join(READERS)}")
    body = await body_of(request)

    def read() -> Batch:
        inputs = READERS[sent](body, request.app.state.max_rows)
        return Batch(inputs, lambda answers: Response(_scores(answers.volumes.tolist()), media_type="application/json"))

    return await answered(model, recording, read, inline=len(body) <= INLINE_BYTES)


def _scores(volumes: list[int]) -> str:
    return json.dumps({"predictions": volumes})


@router.get("/ping", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **_UNREADY})
async def ping(_: CurrentModel) -> Response:
    """A model is in service: an empty line, as MLflow answers."""
    return PlainTextResponse("\n")


@router.get("/version", response_class=PlainTextResponse)
async def version() -> str:
    """The version of this service, where MLflow's server tells its own."""
    return installed_version("stock-assets")
