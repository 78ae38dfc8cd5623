"""The log that programs read: one JSON object a line in `logs/pipeline.jsonl`, appended by every process."""

import json
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from stock_assets.layout import Layout
from stock_assets.settings import Settings


def write_line(settings: Settings, event: str, **facts: Any) -> None:
    """Append `{"time": ..., "event": event, **facts}`; the time is now, in UTC.

    Lines of several processes never mix: each is one write at the end of the file. Raises `OSError` where it cannot
    be written.
    """
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **json_ready(facts)}
    path = Layout(settings.data_dir).log
    path.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps(line, ensure_ascii=False, allow_nan=False, default=str).encode() + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError(f"{path}: the disk took only a part of a line")
    finally:
        os.close(descriptor)


def json_ready(value: Any) -> Any:
    """The same with numpy's numbers as Python's, and null for numbers that are not finite, which JSON cannot write."""
    if isinstance(value, Mapping):
        return {str(name): json_ready(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(inner) for inner in value]
    if hasattr(value, "tolist"):
        return json_ready(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
