"""A download that goes on where it was cut, but only behind bytes that are known to be of the same file.

Beside the part lies what the server calls the file (its ETag) and the file's size. Whatever else happened to the
part's bytes is found by whoever verifies the whole file.
"""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import requests

from stock_assets.errors import UserError
from stock_assets.ingest.patience import BusyError
from stock_assets.publishing import Report

CHUNK = 1 << 18
TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and seconds without a byte."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def fetch(response: requests.Response, part: Path, report: Report) -> None:
    """Stream the file that `response` has begun into `part`, without the bytes that `part` holds of it already.

    Raises what `requests` raises where the connection breaks or the server refuses; `part` can be resumed then. Raises
    `UserError` where the disk has too little room, before the first byte if it can be known, and removes `part`.
    """
    with response:
        size, have = _size(response, part), _kept(part, response)
        _check_room(part, size - have)
        if not have:
            _write(response, part, 0, report)
    if 0 < have < size:
        headers = {"Range": f"bytes={have}-", "If-Range": _marker(response)["validator"]}
        with requests.get(response.url, headers=headers, stream=True, timeout=TIMEOUT) as rest:
            rest.raise_for_status()
            # Any answer but 206 is the whole file: it has changed meanwhile.
            _write(rest, part, have if rest.status_code == requests.codes.partial_content else 0, report)


def _write(response: requests.Response, part: Path, start: int, report: Report) -> None:
    """Append the body to `part`, or begin it anew; fewer bytes than announced are an error of urllib3's."""
    size = start + _size(response, part)
    done, step = start, max(size // 100, 1)
    try:
        if not start:
            _begin(part, response)
        with part.open("ab") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                before, done = done, done + len(chunk)
                if done // step > before // step:
                    report(f"downloaded {_megabytes(done)} of {_megabytes(size)} MB")
    except (requests.RequestException, ConnectionError, TimeoutError):
        raise  # they are OSErrors too, but not the disk's
    except OSError as error:
        if error.errno in NO_ROOM:
            part.unlink(missing_ok=True)
        raise UserError(
            f"cannot write the {_megabytes(size)} MB of {part}: {error.strerror}; make room or mend the folder's mode, "
            "or set STOCK_ASSETS_DATA_DIR to another place"
        ) from error


def _begin(part: Path, response: requests.Response) -> None:
    """The old bytes go before the new marker comes, so that a crash never leaves them under its name."""
    part.parent.mkdir(parents=True, exist_ok=True)
    part.unlink(missing_ok=True)
    _marker_path(part).write_text(json.dumps(_marker(response)), "utf-8")


def _kept(part: Path, response: requests.Response) -> int:
    """Bytes that `part` holds of this very file."""
    marker = _marker(response)
    try:
        stored = json.loads(_marker_path(part).read_text("utf-8"))
        have = part.stat().st_size
    except (OSError, ValueError):
        return 0
    return have if marker["validator"] and stored == marker and have <= marker["size"] else 0


def _marker(response: requests.Response) -> dict[str, Any]:
    validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
    return {"validator": validator, "size": int(response.headers["Content-Length"])}


def _marker_path(part: Path) -> Path:
    return part.with_name(part.name + ".kaggle-partial")


def _size(response: requests.Response, part: Path) -> int:
    if "Content-Length" not in response.headers:
        raise BusyError(f"the server did not say how large {part.name} is")
    return int(response.headers["Content-Length"])


def _check_room(part: Path, needed: int) -> None:
    folder = next(path for path in part.parents if path.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{part.name} takes {_megabytes(needed)} MB more but {folder} has {_megabytes(free)} MB free: "
            "make room, or set STOCK_ASSETS_DATA_DIR to another place"
        )


def _megabytes(count: int) -> int:
    return -(-count // 1_000_000)
