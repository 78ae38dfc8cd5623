"""The promoted model in memory: found, tried, and swapped in while requests go on."""

import asyncio
import logging
from pathlib import Path

from serving.loading import LoadedModel, ModelRefusedError, load_model
from serving.trial import survives
from stock_assets.registry import Pointer, RegistryError, read_pointer, verify

# A child of uvicorn's own logger: its lines appear under every uvicorn, without a logging setup of ours.
logger = logging.getLogger("uvicorn.error.serving")


class ModelStore:
    """The model in service, following `latest.json` below `folder` (`models/<name>`).

    `model` is None until one could be loaded. `problem` says why there is none, or why the promoted
    version is not the one in service; it is None when all is well.
    """

    def __init__(self, folder: Path) -> None:
        self.model: LoadedModel | None = None
        self.problem: str | None = None
        self._folder = folder
        self._pointer = folder / "latest.json"
        self._settled: tuple[int, ...] | None = None
        self._reported: object = None

    async def follow(self, seconds: float) -> None:
        """Refresh every so many seconds, in a thread so that no request waits; never returns."""
        while True:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Swap in a newly promoted model; where it cannot be used, say so once and keep the old one.

        Costs one `stat` while `latest.json` stays as it is. Unreadable or half-copied files are tried
        again at the next call; a sound version that is refused, only after `latest.json` changed.
        """
        signature = None
        try:
            signature = _signature(self._pointer)
            if signature is not None and signature == self._settled:
                return
            pointer = read_pointer(self._folder)
            if pointer is None:
                self._report(signature, self._absence())
                return
            model = self._load(pointer)
        except ModelRefusedError as error:
            self._settled = signature
            self._report(signature, self._refusal(error))
        except (RegistryError, OSError) as error:
            self._report(signature, self._refusal(error))
        else:
            self.model, self.problem = model, None
            self._settled, self._reported = signature, None
            logger.info("serving %s version %s", model.name, model.version)

    def _load(self, pointer: Pointer) -> LoadedModel:
        verify(self._folder, pointer)
        if not survives(self._folder, pointer):
            raise ModelRefusedError(f"{self._folder / pointer.path}: LightGBM crashes on it, or never returns")
        return load_model(self._folder, pointer)

    def _report(self, signature: tuple[int, ...] | None, problem: str) -> None:
        self.problem = problem
        if self._reported != (signature, problem):
            self._reported = (signature, problem)
            logger.warning(problem)

    def _absence(self) -> str:
        self._settled = None
        if self.model is None:
            return f"no model has been promoted under {self._folder}; run the pipeline (make run)"
        return f"{self._pointer} is gone; version {self.model.version} stays in service"

    def _refusal(self, error: Exception) -> str:
        if self.model is None:
            return f"the promoted model is refused: {error}"
        return f"the promoted model is refused: {error}; version {self.model.version} stays in service"


def _signature(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is replaced; None where there is no file."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
