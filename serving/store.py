"""The models in memory: the promoted one, swapped in while requests go on, and others that are asked for by version."""

import asyncio
import logging
import os
from pathlib import Path

from serving.loading import ModelRefusedError, load_promoted, load_version
from serving.metrics import MODEL_RELOADS, MODEL_WORKERS
from serving.model import LoadedModel
from stock_assets.registry import RegistryError, has_version, read_pointer

# A child of uvicorn's own logger: its lines appear under every uvicorn, without a logging setup of ours.
logger = logging.getLogger("uvicorn.error.serving")

KEPT_VERSIONS = 8
"""Versions that were asked for by name and stay in memory, about a megabyte each."""


class ModelStore:
    """The model in service, following `latest.json` below `folder` (`models/<name>`).

    `model` is None until one could be loaded. `problem` says why there is none, or why the promoted
    version is not the one in service; it is None when all is well.
    """

    def __init__(self, folder: Path) -> None:
        self.model: LoadedModel | None = None
        self.problem: str | None = None
        self.name = folder.name
        self._folder = folder
        self._pointer = folder / "latest.json"
        self._settled: tuple[int, ...] | None = None
        self._reported: object = None
        self._asked_for: dict[str, LoadedModel] = {}
        self._loading = asyncio.Lock()

    async def follow(self, seconds: float) -> None:
        """Refresh every so many seconds, in a thread so that no request waits; never returns, whatever goes wrong."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception as error:
                problem = f"looking for a newly promoted model failed: {type(error).__name__}; the log has the cause"
                if problem != self.problem:
                    self.problem = problem
                    logger.exception("looking for a newly promoted model failed; it is tried again")

    def refresh(self) -> None:
        """Swap in a newly promoted model; where it cannot be used, say so once and keep the old one.

        Costs one `stat` while `latest.json` stays as it is. Unreadable or half-copied files are tried
        again at the next call; a sound version that is refused, only after `latest.json` changed.
        """
        seen = None
        try:
            seen = signature(self._pointer)
            if seen is not None and seen == self._settled:
                return
            pointer = read_pointer(self._folder)
            if pointer is None:
                self._report(seen, self._absence(), "absent")
                return
            model = load_promoted(self._folder, pointer)
        except ModelRefusedError as error:
            self._settled = seen
            self._report(seen, self._refusal(error), "refused")
        except (RegistryError, OSError) as error:
            self._report(seen, self._refusal(error), "refused")
        else:
            self._swap(model)
            self._settled, self._reported = seen, None

    async def version(self, version: str) -> LoadedModel | None:
        """A version by its name, from memory or from disk; None where there is none of that name.

        Raises `RegistryError` and `ModelRefusedError` as loading does.
        """
        if self.model and self.model.version == version:
            return self.model
        if found := self._asked_for.get(version):
            return found
        async with self._loading:  # one at a time: each takes a process and most of a second
            if version not in self._asked_for:
                if not await asyncio.to_thread(has_version, self._folder, version):
                    return None
                loaded = await asyncio.to_thread(load_version, self._folder, version)
                while len(self._asked_for) >= KEPT_VERSIONS:
                    self._asked_for.pop(next(iter(self._asked_for)))
                self._asked_for[version] = loaded
            return self._asked_for[version]

    def told(self, error: Exception) -> str:
        """What a client learns of an error of loading."""
        return told(error, self._folder)

    def _swap(self, model: LoadedModel) -> None:
        if self.model:
            MODEL_WORKERS.labels(self.model.name, self.model.version).set(0)
        self.model, self.problem = model, None
        MODEL_WORKERS.labels(model.name, model.version).set(1)
        MODEL_RELOADS.labels(model.name, "loaded").inc()
        logger.info("serving %s version %s", model.name, model.version)

    def _report(self, seen: tuple[int, ...] | None, problem: str, outcome: str) -> None:
        self.problem = problem
        if self._reported != (seen, problem):
            self._reported = (seen, problem)
            MODEL_RELOADS.labels(self._folder.name, outcome).inc()
            logger.warning(problem)

    def _absence(self) -> str:
        self._settled = None
        if self.model is None:
            return f"no {self._folder.name} has been promoted; run the pipeline (make run)"
        return f"{self._pointer.name} is gone; version {self.model.version} stays in service"

    def _refusal(self, error: Exception) -> str:
        problem = f"the promoted model is refused: {self.told(error)}"
        return problem if self.model is None else f"{problem}; version {self.model.version} stays in service"


def told(error: Exception, folder: Path) -> str:
    """What a client learns of an error: paths below `folder`, not where on the machine that lies."""
    return str(error).replace(f"{folder}{os.sep}", "")


def signature(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is replaced; None where there is no file."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
