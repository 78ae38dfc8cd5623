"""`/v2`: the Open Inference Protocol, version 2, as KServe, Triton and MLServer speak it."""

from importlib.metadata import version as installed_version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from serving.batches import INLINE_BYTES, Batch, answered, body_of
from serving.dependencies import WITH_VERSION, CurrentModel, Recording, Store, model_of_version
from serving.model import LoadedModel
from serving.open_inference import DATATYPES, LENGTH_HEADER, InferenceRequest
from serving.protocols import ProtocolRoute
from stock_assets.learning.volume import INPUTS


class V2Route(ProtocolRoute):
    """Errors as the protocol has them."""

    invalid = 400

    @staticmethod
    def problem(status: int, detail: str) -> dict[str, Any]:  # noqa: ARG004 - the status line has it
        return {"error": detail}


class V2Problem(BaseModel):
    """The body of an error."""

    error: str


class Server(BaseModel):
    """What this server is."""

    name: str = "stock-assets"
    version: str
    extensions: list[str] = ["binary_tensor_data"]


class ServerLive(BaseModel):
    """The process answers."""

    live: bool = True


class ServerReady(BaseModel):
    """A model is in service."""

    ready: bool = True


class ModelReady(BaseModel):
    """The model answers inference requests."""

    name: str
    ready: bool = True


class TensorMetadata(BaseModel):
    """A tensor; -1 stands for the number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A version of the model."""

    name: str
    versions: list[str]
    platform: str = "lightgbm_text"
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class OutputTensor(BaseModel):
    """A tensor of whole shares: `data`, or with `parameters.binary_data_size` bytes behind the JSON."""

    name: str
    datatype: str = "INT64"
    shape: list[int]
    parameters: dict[str, Any] = {}
    data: list[int] | None = None


class Inference(BaseModel):
    """The answers; `low` and `high` only where the model has an interval."""

    model_config = ConfigDict(protected_namespaces=())
    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor] = Field(description="Each of shape [n].")


def _refusals(**statuses: str) -> dict[int | str, dict[str, Any]]:
    return {int(status[1:]): {"model": V2Problem, "description": text} for status, text in statuses.items()}


_UNREADY = _refusals(_503="No model is in service; the error says why.")
_OF_MODEL = _UNREADY | _refusals(_400="A name or version is too long.", _404="There is no such model or version.")
_OF_VERSION = _OF_MODEL | _refusals(_409="The version cannot be served; the error says why.")
_OF_INFERENCE = _refusals(
    _400="The request is malformed or a value is wrong; the error says where.",
    _413="More rows, or a larger body, than the service takes.",
    _415="The body is compressed.",
)
_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2},
        "datatype": {"enum": list(DATATYPES)},
        "parameters": {"type": "object"},
        "data": {"type": "array", "description": "Row-major, flat or nested.", "items": {}},
    },
}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "minItems": 1, "maxItems": 2, "items": _TENSOR},
        "outputs": {
            "type": "array",
            "maxItems": 3,
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"enum": ["volume", "low", "high"]}, "parameters": {"type": "object"}},
            },
        },
    },
}
_INFERENCE: dict[str, Any] = {
    "response_class": Response,
    "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}},
    "responses": {
        200: {
            "model": Inference,
            "headers": WITH_VERSION,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        **_OF_VERSION,
        **_OF_INFERENCE,
    },
}

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"], route_class=V2Route)
_Name = Annotated[str, Path(max_length=100, examples=["volume_model"])]


async def _named_model(name: _Name, store: Store) -> LoadedModel:
    if name != store.name:
        raise HTTPException(404, f"there is no model of that name; there is {store.name}")
    if store.model is None:
        raise HTTPException(503, store.problem)
    return store.model


async def _versioned_model(name: _Name, version: Annotated[str, Path(max_length=100)], store: Store) -> LoadedModel:
    if name != store.name:
        raise HTTPException(404, f"there is no model of that name; there is {store.name}")
    return await model_of_version(store, version)


NamedModel = Annotated[LoadedModel, Depends(_named_model)]
VersionedModel = Annotated[LoadedModel, Depends(_versioned_model)]


@router.get("")
async def server() -> Server:
    """The server's metadata."""
    return Server(version=installed_version("stock-assets"))


@router.get("/health/live")
async def live() -> ServerLive:
    """The process answers; nothing is said about a model."""
    return ServerLive()


@router.get("/health/ready", responses=_UNREADY)
async def ready(_: CurrentModel) -> ServerReady:
    """A model is in service."""
    return ServerReady()


@router.get("/models/{name}", responses=_OF_MODEL)
async def metadata(model: NamedModel) -> ModelMetadata:
    """The model in service: its tensors."""
    return _metadata(model)


@router.get("/models/{name}/versions/{version}", responses=_OF_VERSION)
async def version_metadata(model: VersionedModel) -> ModelMetadata:
    """A version on disk: its tensors."""
    return _metadata(model)


@router.get("/models/{name}/ready", responses=_OF_MODEL)
async def model_ready(model: NamedModel) -> ModelReady:
    """The model is in service."""
    return ModelReady(name=model.name)


@router.get("/models/{name}/versions/{version}/ready", responses=_OF_VERSION)
async def version_ready(model: VersionedModel) -> ModelReady:
    """The version is on disk and can be served."""
    return ModelReady(name=model.name)


@router.post("/models/{name}/infer", **_INFERENCE)
async def infer(request: Request, model: NamedModel, recording: Recording) -> Response:
    """Predict with the model in service: one tensor [n, 2], or one of each input; JSON or binary data."""
    return await _infer(request, model, recording)


@router.post("/models/{name}/versions/{version}/infer", **_INFERENCE)
async def infer_version(request: Request, model: VersionedModel, recording: Recording) -> Response:
    """The same with any version on disk."""
    return await _infer(request, model, recording)


async def _infer(request: Request, model: LoadedModel, recording: Recording) -> Response:
    body = await body_of(request)

    def read() -> Batch:
        asked = InferenceRequest(body, request.headers.get(LENGTH_HEADER), request.app.state.max_rows)
        return Batch(asked.inputs, lambda answers: asked.response(model, answers))

    return await answered(model, recording, read, inline=len(body) <= INLINE_BYTES)


def _metadata(model: LoadedModel) -> ModelMetadata:
    outputs = ["volume", "low", "high"] if model.interval else ["volume"]
    return ModelMetadata(
        name=model.name,
        versions=[model.version],
        inputs=[TensorMetadata(name=name, datatype="FP64", shape=[-1]) for name in INPUTS],
        outputs=[TensorMetadata(name=name, datatype="INT64", shape=[-1]) for name in outputs],
    )
