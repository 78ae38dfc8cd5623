"""`GET /metrics`: the numbers of all workers, for Prometheus."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from serving.metrics import exposition

router = APIRouter(tags=["health"])


class Exposition(Response):
    """Prometheus' text format."""

    media_type = CONTENT_TYPE_LATEST


@router.get("/metrics", response_class=Exposition, response_description="Prometheus' text format.")
def metrics() -> Exposition:
    """Requests, times, predictions and models of all workers of this service.

    Where the service asks for keys it asks Prometheus too: `authorization: {credentials: KEY}` in its scrape config.
    """
    return Exposition(exposition())  # no coroutine: files are read, so FastAPI calls this in a thread
