"""The Open Inference Protocol, version 2: tensors to inputs and answers to tensors, as JSON or as Triton's binary data.

With binary data the body is JSON followed by the elements of the tensors, little-endian, in the order of the tensors;
the header `Inference-Header-Content-Length` has the length of the JSON.
"""

import json
from itertools import chain
from typing import Annotated, Any

import numpy as np
from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serving.answers import Answers
from serving.batches import RefusedError, check, check_rows
from serving.model import Array, LoadedModel, Volumes
from serving.strict_json import strict_json
from stock_assets.learning.volume import INPUTS

LENGTH_HEADER = "Inference-Header-Content-Length"
DATATYPES = {
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
"""The numeric types; `BOOL`, `BYTES` and `BF16` are not taken."""

Size = Annotated[float, Field(ge=0, le=2.0**53, multiple_of=1)]


class _Strict(BaseModel):
    """Nothing is converted; what the protocol does not know is ignored."""

    model_config = ConfigDict(strict=True)


class _InputParameters(_Strict):
    binary_data_size: Size | None = None
    shared_memory_region: None = Field(None, description="Not supported, hence only null.")


class _Input(_Strict):
    name: str
    shape: Annotated[list[Size], Field(min_length=1, max_length=2)]
    datatype: str
    parameters: _InputParameters = _InputParameters()
    data: Any = None

    @property
    def rows(self) -> int:
        return int(self.shape[0])

    @property
    def columns(self) -> int:
        return int(self.shape[1]) if len(self.shape) == 2 else 1


class _OutputParameters(_Strict):
    binary_data: bool | None = None
    classification: None = None
    shared_memory_region: None = None


class _Output(_Strict):
    name: str
    parameters: _OutputParameters = _OutputParameters()


class _Parameters(_Strict):
    binary_data_output: bool = False


class _Request(_Strict):
    id: str | None = None
    parameters: _Parameters = _Parameters()
    inputs: Annotated[list[_Input], Field(min_length=1, max_length=2)]
    outputs: Annotated[list[_Output], Field(max_length=3)] = []


class InferenceRequest:
    """A request whose inputs, of shape (n, 2), are within their limits."""

    def __init__(self, body: bytes, header_length: str | None, max_rows: int) -> None:
        """Raises `RefusedError`."""
        length = _header_length(header_length, len(body))
        try:
            self._request = _Request.model_validate(strict_json(body[:length], max_rows))
        except ValidationError as error:
            first = error.errors()[0]
            raise RefusedError(400, f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from error
        names = [output.name for output in self._request.outputs]
        if len(set(names)) < len(names):
            raise RefusedError(400, "an output is asked for twice")
        tensors = self._tensors(body[length:], max_rows)
        self.inputs = _joined(self._request.inputs, tensors)
        check(self.inputs, lambda row, name: f"{name}, row {row}")

    def response(self, model: LoadedModel, answers: Answers) -> Response:
        """The outputs that were asked for, by default all. Raises `RefusedError` for one that there is not."""
        there = {name: values for name, values in _outputs(answers).items() if values is not None}
        outputs, blobs = [], []
        for output in self._request.outputs or [_Output(name=name) for name in there]:
            if output.name not in there:
                raise RefusedError(400, f"there is no output {ascii(output.name)[:100]}; there are {', '.join(there)}")
            values = there[output.name]
            tensor: dict[str, Any] = {"name": output.name, "datatype": "INT64", "shape": [len(values)]}
            if self._is_binary(output):
                blobs.append(values.astype("<i8").tobytes())
                tensor["parameters"] = {"binary_data_size": len(blobs[-1])}
            else:
                tensor["data"] = values.tolist()
            outputs.append(tensor)
        asked = {} if self._request.id is None else {"id": self._request.id}
        head = json.dumps({"model_name": model.name, "model_version": model.version, **asked, "outputs": outputs})
        if not blobs:
            return Response(head, media_type="application/json")
        content = b"".join([head.encode(), *blobs])
        return Response(content, headers={LENGTH_HEADER: str(len(head))}, media_type="application/octet-stream")

    def _is_binary(self, output: _Output) -> bool:
        asked = output.parameters.binary_data
        return self._request.parameters.binary_data_output if asked is None else asked

    def _tensors(self, blob: bytes, max_rows: int) -> list[Array]:
        tensors, place = [], 0
        for tensor in self._request.inputs:
            check_rows(tensor.rows, max_rows)
            kind = DATATYPES.get(tensor.datatype)
            if kind is None:
                raise RefusedError(
                    400, f"{ascii(tensor.name)[:100]}: its datatype must be one of {', '.join(DATATYPES)}"
                )
            size = tensor.parameters.binary_data_size
            if size is None:
                tensors.append(_of_json(tensor, kind))
            else:
                tensors.append(_of_binary(tensor, kind, blob[place : place + int(size)]))
                place += int(size)
        if place != len(blob):
            raise RefusedError(400, f"the tensors have {place} bytes of binary data, but the body has {len(blob)}")
        return tensors


def _header_length(header: str | None, size: int) -> int:
    if header is None:
        return size
    if not (header.isascii() and header.isdecimal() and len(header) < 20 and int(header) <= size):
        raise RefusedError(400, f"{LENGTH_HEADER} must be a length within the body's {size} bytes")
    return int(header)


def _outputs(answers: Answers) -> dict[str, Volumes | None]:
    return {"volume": answers.volumes, "low": answers.low, "high": answers.high}


def _of_json(tensor: _Input, kind: np.dtype[Any]) -> Array:
    name, shape = ascii(tensor.name)[:100], (tensor.rows, tensor.columns)
    data = tensor.data
    if isinstance(data, list) and len(tensor.shape) == 2 and set(map(type, data)) == {list}:
        if len(data) != tensor.rows or set(map(len, data)) != {tensor.columns}:
            raise RefusedError(400, f"{name}: its data is not of shape {list(shape)}")
        data = list(chain.from_iterable(data))
    if not isinstance(data, list) or not set(map(type, data)) <= {float}:
        raise RefusedError(400, f"{name}: its data must be a list of numbers, flat or of the tensor's shape")
    if len(data) != tensor.rows * tensor.columns:
        raise RefusedError(400, f"{name}: {len(data)} elements, but its shape {list(shape)} has {shape[0] * shape[1]}")
    values = np.array(data, dtype=np.float64).reshape(shape)
    if kind.kind != "f":
        limits = np.iinfo(kind)
        if not np.all((values >= limits.min) & (values <= limits.max) & (values == np.floor(values))):
            raise RefusedError(400, f"{name}: an element is no {tensor.datatype}")
        return values
    with np.errstate(over="ignore"):  # what is too large for its type is infinite, hence refused
        return values.astype(kind).astype(np.float64)


def _of_binary(tensor: _Input, kind: np.dtype[Any], blob: bytes) -> Array:
    if tensor.data is not None or len(blob) != tensor.rows * tensor.columns * kind.itemsize:
        raise RefusedError(400, f"{ascii(tensor.name)[:100]}: its binary data is not as its shape and datatype say")
    return np.frombuffer(blob, dtype=kind).reshape(tensor.rows, tensor.columns).astype(np.float64)


def _joined(inputs: list[_Input], tensors: list[Array]) -> Array:
    """Inputs (n, 2) of one tensor of that shape, or of two with the inputs' names and one column each."""
    if len(inputs) == 1 and inputs[0].columns == len(INPUTS):
        return tensors[0]
    named = {tensor.name: values for tensor, values in zip(inputs, tensors, strict=True)}
    if set(named) != set(INPUTS) or {tensor.columns for tensor in inputs} != {1}:
        raise RefusedError(400, f"send one tensor of shape [n, 2], or {' and '.join(INPUTS)}, each [n] or [n, 1]")
    if len({tensor.rows for tensor in inputs}) > 1:
        raise RefusedError(400, f"{' and '.join(INPUTS)} have different numbers of rows")
    return np.column_stack([named[name][:, 0] for name in INPUTS])
