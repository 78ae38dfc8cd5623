"""What the driver and the workers share files by: a folder that all of them see, or objects in the lake."""

import glob
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Protocol

from stock_assets.errors import UserError
from stock_assets.lake import object_key
from stock_assets.objects import S3, ObjectStore, open_store
from stock_assets.publishing import staged
from stock_assets.registry import sha256_of
from stock_assets.settings import Settings

WORK = "work"
LITTER_AGE = timedelta(days=1)


class Storage(Protocol):
    """Shared files by name. It travels to the workers; `offer`, `collect` and `clean` are the driver's.

    All raise `UserError` where a file is not there or a store refuses it.
    """

    def offer(self, path: Path) -> str:
        """The name by which workers read a published file `<table>/letter=<letter>/<file>`."""
        ...

    def fetch(self, name: str, scratch: Path) -> Path:
        """The file of this name; it may be copied to the folder `scratch` for that."""
        ...

    def written(self, name: str, scratch: Path) -> AbstractContextManager[Path]:
        """Where a worker writes a file that has its name, as a whole, once the block has succeeded."""
        ...

    def name(self, path: Path) -> str:
        """The name under which a worker writes what the driver wants at this path."""
        ...

    def collect(self, path: Path) -> None:
        """Have at this path what was written for it."""
        ...

    def clean(self, paths: Sequence[Path]) -> None:
        """Remove what else is left of the making of these."""
        ...


class SharedFolder:
    """The data folder, which all hosts see at the same path: names are absolute paths."""

    def offer(self, path: Path) -> str:
        return self.name(path)

    def fetch(self, name: str, scratch: Path) -> Path:  # noqa: ARG002
        path = Path(name)
        if not path.exists():
            raise UserError(
                f"the Dask worker {worker_address()} does not see {path}: mount the data folder there at the same "
                "path, or set STOCK_ASSETS_LAKE_URL=s3://..."
            )
        return path

    def written(self, name: str, scratch: Path) -> AbstractContextManager[Path]:  # noqa: ARG002
        return staged(Path(name))

    def name(self, path: Path) -> str:
        return str(path.absolute())

    def collect(self, path: Path) -> None:
        if not path.exists():
            raise UserError(
                f"a Dask worker wrote {path}, and it is not on this host: the workers have another folder of that name"
            )

    def clean(self, paths: Sequence[Path]) -> None:
        """Workers that were killed left their temporary files."""
        for path in paths:
            for litter in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
                litter.unlink(missing_ok=True)


class Objects:
    """A store that all hosts reach: names are keys.

    What is published lies where the lake has it, so nothing is uploaded twice; what workers write lies in `work/` until
    the driver has it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._offered: dict[tuple[Path, int, int], str] = {}
        self._folder = f"{WORK}/{secrets.token_hex(8)}"

    @property
    def _store(self) -> ObjectStore:
        return _opened(self._url)

    def offer(self, path: Path) -> str:
        stat = path.stat()
        seen = (path, stat.st_mtime_ns, stat.st_size)
        if seen not in self._offered:
            table, letter = path.parents[1].name, path.parent.name.removeprefix("letter=")
            key = object_key(table, letter, sha256_of(path))
            if not self._store.has(key):
                self._store.put(path, key)
            self._offered[seen] = key
        return self._offered[seen]

    def fetch(self, name: str, scratch: Path) -> Path:
        path = scratch / f"{secrets.token_hex(8)}.parquet"
        self._store.get(name, path)
        return path

    @contextmanager
    def written(self, name: str, scratch: Path) -> Iterator[Path]:
        path = scratch / f"{secrets.token_hex(8)}.parquet"
        yield path
        self._store.put(path, name)

    def name(self, path: Path) -> str:
        return f"{self._folder}/{path.name}"

    def collect(self, path: Path) -> None:
        self._store.get(self.name(path), path)

    def clean(self, paths: Sequence[Path]) -> None:  # noqa: ARG002
        """What runs that were killed have left goes too, once it is old enough."""
        old = datetime.now(UTC) - LITTER_AGE
        for found in list(self._store.list(f"{WORK}/")):
            is_litter = found.modified < old and re.match(rf"{WORK}/[0-9a-f]{{16}}/", found.key)
            if found.key.startswith(f"{self._folder}/") or is_litter:
                self._store.delete(found.key)


def open_storage(settings: Settings) -> Storage:
    """The lake where that is a store that every host reaches by itself, else the data folder."""
    if settings.lake_url and settings.lake_url.startswith(S3):
        return Objects(settings.lake_url)
    return SharedFolder()


def worker_address() -> str:
    from distributed import get_worker  # noqa: PLC0415

    return str(get_worker().address)


@cache
def _opened(url: str) -> ObjectStore:
    return open_store(url)
