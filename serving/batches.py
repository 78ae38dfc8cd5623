"""What all batches share, whatever protocol brings them: limits, the check of their values, the answers, a thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from serving.answers import Answers, answer
from serving.dependencies import VERSION_HEADER
from serving.model import Array, LoadedModel
from serving.recording import Recording
from stock_assets.learning.volume import INPUTS, MAX_VOLUME

INLINE_BYTES = 16_384
"""A body up to this size is worked on at once, in less time than a thread takes to begin."""
LIMITS = (MAX_VOLUME, float(np.finfo(float).max))
"""The largest value of each input; the smallest is 0. NaN and infinity are refused."""
Place = Callable[[int, str], str]
"""Names a value by its row, counted from 0, and its input, as the sender would look for it."""

_threads = ThreadPoolExecutor(2, "batch")
"""Two, however many clients there are: a body in the works takes several times its size in memory."""


class RefusedError(Exception):
    """A request that is not answered; `status` is a 4xx and the text says where it is wrong and what would be right."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


async def body_of(request: Request) -> bytes:
    """The whole body, as it was sent. Raises `RefusedError` for a compressed one: none is ever expanded here."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise RefusedError(415, "Content-Encoding is not taken; send the body as it is")
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise RefusedError(400, "the body ended early") from error


class Batch(NamedTuple):
    """Inputs of shape (n, 2) within their limits, and what makes a response of the answers to them."""

    inputs: Array
    write: Callable[[Answers], Response]


async def answered(model: LoadedModel, recording: Recording, read: Callable[[], Batch], *, inline: bool) -> Response:
    """The response to a batch that `read` finds in a body; only a small one may be worked on `inline`."""

    def work() -> tuple[Array, Answers, Response]:
        batch = read()
        answers = answer(model, batch.inputs)
        return batch.inputs, answers, batch.write(answers)

    loop = asyncio.get_running_loop()
    inputs, answers, response = work() if inline else await loop.run_in_executor(_threads, work)
    recording.many(model, inputs, answers.volumes)
    response.headers[VERSION_HEADER] = model.version
    return response


def check_rows(rows: int, max_rows: int) -> None:
    """Raise `RefusedError` for more rows than the service predicts in one request."""
    if rows > max_rows:
        raise RefusedError(413, f"{rows} rows; this service predicts at most {max_rows} in one request")


def check(inputs: Array, place: Place) -> None:
    """Raise `RefusedError`, which names the first of them, unless all values of inputs (n, 2) are within the limits."""
    wrong = ~((inputs >= 0) & (inputs <= LIMITS))  # a NaN is neither
    if not wrong.any():
        return
    row, column = (int(at) for at in np.argwhere(wrong)[0])
    limit = f"from 0 to {MAX_VOLUME:g}" if column == 0 else "finite and at least 0"
    others = int(np.count_nonzero(wrong)) - 1
    also = f"; {others} other value{'s are' if others > 1 else ' is'} wrong too" if others else ""
    value = inputs[row, column]
    found = "missing or NaN" if np.isnan(value) else f"{value:g}"
    raise RefusedError(422, f"{place(row, INPUTS[column])}: is {found}, but must be {limit}{also}")
