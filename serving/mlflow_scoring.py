"""The bodies of MLflow's scoring protocol: tables and tensors as JSON, and tables as CSV."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from serving.arrow_batches import to_floats
from serving.batches import RefusedError, check, check_rows
from serving.json_batches import of_columns, of_lists, of_records
from serving.model import Array
from serving.strict_json import check_values, strict_json
from stock_assets.learning.volume import INPUTS

FIELDS = ("dataframe_split", "dataframe_records", "inputs", "instances")


def read_scoring_json(body: bytes, max_rows: int) -> Array:
    """Inputs of shape (n, 2) within their limits; `params` and other fields are ignored. Raises `RefusedError`."""
    content = strict_json(body, max_rows)
    given = [name for name in FIELDS if name in content] if isinstance(content, dict) else []
    if len(given) != 1:
        raise RefusedError(400, f"send a JSON object with exactly one of {', '.join(FIELDS)}")
    field, value = given[0], content[given[0]]
    if field == "dataframe_split":
        return _of_split(value, max_rows)
    if isinstance(value, dict) and field != "dataframe_records":
        return of_columns(value, f"{field}.", max_rows)
    if not isinstance(value, list):
        raise RefusedError(400, f"{field}: must be a list of rows")
    if field == "dataframe_records" or set(map(type, value)) == {dict}:
        return of_records(value, f"{field}.", max_rows)
    return _of_rows(value, field, [0, 1], max_rows)


def _of_split(value: Any, max_rows: int) -> Array:
    columns, rows = (value.get("columns"), value.get("data")) if isinstance(value, dict) else (None, None)
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise RefusedError(400, "dataframe_split: must have the lists columns and data")
    for name in INPUTS:
        if columns.count(name) != 1:
            raise RefusedError(400, f"dataframe_split.columns: must have {name} once")
    return _of_rows(rows, "dataframe_split.data", [columns.index(name) for name in INPUTS], max_rows, len(columns))


def _of_rows(rows: list[Any], prefix: str, places: list[int], max_rows: int, width: int = len(INPUTS)) -> Array:
    """Inputs from rows that are lists, with the inputs at those places of each."""
    check_rows(len(rows), max_rows)
    for number, row in enumerate(rows):
        if type(row) is not list or len(row) != width:
            raise RefusedError(400, f"{prefix}.{number}: must be a list of {width} numbers")
    columns = [[row[place] for row in rows] for place in places]
    return of_lists(columns, lambda row, name: f"{prefix}.{row}.{name}")


def read_scoring_csv(body: bytes, max_rows: int) -> Array:
    """The same from CSV with a header; columns other than the inputs are ignored."""
    check_values(sum(map(body.count, (b",", b"\n", b"\r"))), max_rows)
    header = [name.strip(b' "\r') for name in body.partition(b"\n")[0].split(b",")]
    if twice := [name for name in INPUTS if header.count(name.encode()) > 1]:
        raise RefusedError(400, f"no CSV of {' and '.join(INPUTS)}: several columns are called {twice[0]}")
    options = csv.ConvertOptions(
        include_columns=list(INPUTS), column_types=dict.fromkeys(INPUTS, pa.float64()), strings_can_be_null=False
    )
    try:
        reading = csv.ReadOptions(use_threads=False)
        table = csv.read_csv(io.BytesIO(body), read_options=reading, convert_options=options)
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise RefusedError(400, f"no CSV of {' and '.join(INPUTS)}: {ascii(str(error))[1:-1][:300]}") from error
    check_rows(table.num_rows, max_rows)
    inputs = np.column_stack([to_floats(table[name]) for name in INPUTS])
    check(inputs, lambda row, name: f"row {row}, {name}")
    return inputs
