"""What routes ask for in their signatures: the model store, the model that answers, and who is told of answers."""

from typing import Annotated, Any

from fastapi import Depends, HTTPException, Query, Request
from pydantic import BaseModel

from serving import recording
from serving.loading import ModelRefusedError
from serving.model import LoadedModel
from serving.recording import Recorder
from serving.store import ModelStore
from stock_assets.registry import RegistryError

VERSION_HEADER = "X-Model-Version"
WITH_VERSION: dict[str, Any] = {
    VERSION_HEADER: {"description": "The version of the model that answered.", "schema": {"type": "string"}}
}
"""For the `headers` of every answer of a model."""


class Problem(BaseModel):
    """The body of an error: what is wrong and what to do."""

    detail: str


NO_MODEL: dict[int | str, dict[str, Any]] = {
    503: {"model": Problem, "description": "No model is in service; the detail says why."}
}
"""For the `responses` of every route that needs a model."""
NO_VERSION: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "There is no such version."},
    409: {"model": Problem, "description": "The version cannot be served; the detail says why."},
}
"""For the `responses` of every route that takes a version."""


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


async def model_of_version(store: ModelStore, version: str) -> LoadedModel:
    """A version that is on disk, promoted or not. Raises `HTTPException` 404 and 409."""
    try:
        model = await store.version(version)
    except (RegistryError, ModelRefusedError, OSError) as error:
        raise HTTPException(409, f"version {version} cannot be served: {store.told(error)}") from error
    if model is None:
        raise HTTPException(404, f"there is no version {version}; GET /models/volume_model lists them")
    return model


async def _chosen_model(
    store: Store,
    version: Annotated[
        str | None,
        Query(max_length=100, description="A version on disk that is to answer, in place of the promoted one."),
    ] = None,
) -> LoadedModel:
    return await _current_model(store) if version is None else await model_of_version(store, version)


ChosenModel = Annotated[LoadedModel, Depends(_chosen_model)]


async def _recording(request: Request) -> recording.Recording:
    recorder: Recorder = request.app.state.recorder
    return recorder.of(request.state.request_id)


Recording = Annotated[recording.Recording, Depends(_recording)]
