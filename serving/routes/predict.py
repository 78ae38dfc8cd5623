"""`GET /predict`: one prediction as a bare integer."""

import re

from fastapi import APIRouter, Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from serving.dependencies import NO_MODEL, NO_VERSION, VERSION_HEADER, WITH_VERSION, ChosenModel, Recording
from serving.inputs import AdjCloseRollingMed, VolMovingAvg
from serving.recording import Recorder
from serving.store import ModelStore

router = APIRouter(tags=["predictions"])


@router.get(
    "/predict",
    response_description="The predicted volume in shares: a bare JSON integer.",
    responses={200: {"headers": WITH_VERSION}, **NO_MODEL, **NO_VERSION},
)
async def predict(
    model: ChosenModel,
    vol_moving_avg: VolMovingAvg,
    adj_close_rolling_med: AdjCloseRollingMed,
    recording: Recording,
    response: Response,
) -> int:
    """Predict the day's trading volume, in shares, from the 30-day windows that end on it."""
    volume = model.predict(vol_moving_avg, adj_close_rolling_med)
    recording.one(model, (vol_moving_avg, adj_close_rolling_med), volume)
    response.headers[VERSION_HEADER] = model.version
    return volume


class FastPredict(BaseRoute):
    """`GET /predict` as it is asked for most: two plain numbers in the usual order, of the promoted model.

    FastAPI's way to a typed answer costs twenty times the prediction. What is not as plain as that, faults included, is
    not matched here and goes on to the route above; the answers are the same.
    """

    path = "/predict"
    _number = rb"(\d{1,15}(?:\.\d{1,20})?)"
    _plain = re.compile(rb"vol_moving_avg=%b&adj_close_rolling_med=%b" % (_number, _number), re.ASCII)

    def __init__(self, store: ModelStore, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and scope["path"] == self.path and scope["method"] == "GET":
            numbers = self._plain.fullmatch(scope["query_string"])
            if numbers and self._store.model:
                return Match.FULL, {"route": self, "inputs": (float(numbers[1]), float(numbers[2]))}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - a GET has no body
        model, inputs = self._store.model, scope["inputs"]
        assert model  # it was there a moment ago, and is only ever replaced by another one  # noqa: S101
        volume = model.predict(*inputs)
        self._recorder.of(scope["state"]["request_id"]).one(model, inputs, volume)
        body = b"%d" % volume
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (VERSION_HEADER.lower().encode(), model.version.encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
