"""What routes ask for in their signatures: the model store and the model in service."""

from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from pydantic import BaseModel

from serving.loading import LoadedModel
from serving.store import ModelStore


class Problem(BaseModel):
    """The body of an error: what is wrong and what to do."""

    detail: str


NO_MODEL: dict[int | str, dict[str, Any]] = {
    503: {"model": Problem, "description": "No model is in service; the detail says why."}
}
"""For the `responses` of every route that needs a model."""


# These are coroutines because FastAPI would send plain functions through its thread pool.
async def _store(request: Request) -> ModelStore:
    store: ModelStore = request.app.state.store
    return store


Store = Annotated[ModelStore, Depends(_store)]


async def _current_model(store: Store) -> LoadedModel:
    if store.model is None:
        raise HTTPException(503, store.problem)
    return store.model


CurrentModel = Annotated[LoadedModel, Depends(_current_model)]
