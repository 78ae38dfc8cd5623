"""A batch as JSON: rows, or columns, in; the answers in the same shape out."""

from typing import Any, NamedTuple

import numpy as np
from pydantic_core import to_json

from serving.answers import Answers, warning
from serving.batches import Place, RefusedError, check, check_rows
from serving.model import Array, LoadedModel, Volumes
from serving.strict_json import strict_json
from stock_assets.learning.volume import INPUTS

WRITTEN_AT_ONCE = 10_000
"""Rows that are Python objects at the same time when answers are written."""


class JsonBatch(NamedTuple):
    """Inputs of shape (n, 2) within their limits, and whether they came as columns."""

    inputs: Array
    as_columns: bool


def read_json(body: bytes, max_rows: int) -> JsonBatch:
    """A batch of `{"rows": [{...}]}`, a bare list of rows, or columns. Raises `RefusedError`."""
    content = strict_json(body, max_rows)
    if isinstance(content, dict) and "rows" not in content and any(name in content for name in INPUTS):
        return JsonBatch(of_columns(content, "", max_rows), as_columns=True)
    prefix, rows = ("rows.", content.get("rows")) if isinstance(content, dict) else ("", content)
    if not isinstance(rows, list):
        raise RefusedError(422, f'send {{"rows": [{{"{INPUTS[0]}": 12345, "{INPUTS[1]}": 25}}]}}, or a list for each')
    return JsonBatch(of_records(rows, prefix, max_rows), as_columns=False)


def of_records(rows: list[Any], prefix: str, max_rows: int) -> Array:
    """Inputs of shape (n, 2) from objects that have both by name; other keys are ignored. Raises `RefusedError`."""
    check_rows(len(rows), max_rows)
    for place, row in enumerate(rows):
        if type(row) is not dict:
            raise RefusedError(422, f"{prefix}{place}: must be an object with {' and '.join(INPUTS)}")
    columns = [[row.get(name) for row in rows] for name in INPUTS]
    return of_lists(columns, lambda row, name: f"{prefix}{row}.{name}")


def of_columns(content: dict[str, Any], prefix: str, max_rows: int) -> Array:
    """The same from an object that has a list for each; other keys are ignored."""
    columns = []
    for name in INPUTS:
        values = content.get(name)
        if not isinstance(values, list):
            raise RefusedError(422, f"{prefix}{name}: must be a list of numbers")
        check_rows(len(values), max_rows)
        columns.append(values)
    if len(columns[0]) != len(columns[1]):
        lengths = f"{len(columns[0])} and {len(columns[1])} values"
        raise RefusedError(422, f"{prefix}{' and '.join(INPUTS)} must be of one length, but have {lengths}")
    return of_lists(columns, lambda row, name: f"{prefix}{name}.{row}")


def of_lists(columns: list[list[Any]], place: Place) -> Array:
    """The same from lists of one length, one for each input; `place` names a value as `batches.check` needs it."""
    for name, values in zip(INPUTS, columns, strict=True):
        if not set(map(type, values)) <= {float}:
            row, value = next((row, value) for row, value in enumerate(values) if type(value) is not float)
            raise RefusedError(422, f"{place(row, name)}: {'is missing' if value is None else 'must be a number'}")
    inputs = np.array(columns, dtype=np.float64).T
    check(inputs, place)
    return inputs


def write_json(model: LoadedModel, answers: Answers, *, as_columns: bool) -> bytes:
    """The answer's body: `predictions` is a list of one object a row, or an object of one list a column."""
    head = to_json({"model": model.name, "version": model.version})[:-1]
    predictions = to_json(_columns(answers, slice(None))) if as_columns else _rows_json(answers)
    return b'%b,"predictions":%b}' % (head, predictions)


def _rows_json(answers: Answers) -> bytes:
    parts = []
    for start in range(0, len(answers.volumes), WRITTEN_AT_ONCE):
        columns = _columns(answers, slice(start, start + WRITTEN_AT_ONCE))
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        parts.append(to_json(rows)[1:-1])
    return b"[%b]" % b",".join(parts)


def _columns(answers: Answers, rows: slice) -> dict[str, list[Any]]:
    """The fields of `answers.Prediction` as lists."""
    count = len(answers.volumes[rows])

    def ends(values: Volumes | None) -> list[Any]:
        return [None] * count if values is None else values[rows].tolist()

    return {
        "volume": answers.volumes[rows].tolist(),
        "low": ends(answers.low),
        "high": ends(answers.high),
        "warnings": _warnings(answers, rows, count),
    }


def _warnings(answers: Answers, rows: slice, count: int) -> list[list[str]]:
    """For each row one of the few lists that there can be."""
    lists: list[list[str]] = [[]]
    which = np.zeros(count, dtype=np.intp)
    for name, outside in answers.outside.items():
        which += outside[rows] * len(lists)
        lists += [[*others, warning(name)] for others in lists]
    return [lists[place] for place in which.tolist()]
