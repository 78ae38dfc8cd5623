"""`python -m serving.trial FOLDER POINTER`: loads a version in a process of its own, which may crash at it."""

import subprocess
import sys
from pathlib import Path

from serving.loading import ModelRefusedError, load_model
from stock_assets.registry import Pointer, RegistryError

SECONDS = 30


def survives(folder: Path, pointer: Pointer) -> bool:
    """Whether a process that loads and tests this version ends by itself, be it with a refusal.

    LightGBM 4.7 aborts, crashes or never returns on many damaged texts, so a check in the service's own process
    would take the service along.
    """
    command = [sys.executable, "-m", "serving.trial", str(folder), pointer.model_dump_json()]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main(folder: str, pointer: str) -> None:
    try:
        load_model(Path(folder), Pointer.model_validate_json(pointer))
    except (ModelRefusedError, RegistryError):
        return  # the service will find the same and say it


if __name__ == "__main__":
    main(*sys.argv[1:])
