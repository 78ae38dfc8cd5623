"""Whether the source has changed since it was published: what is looked at, remembered and decided.

A change counts once: when it has settled and its content is not what is published.
"""

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from stock_assets.budget import thread_count
from stock_assets.errors import UserError, first_line
from stock_assets.ingest import kaggle_dataset
from stock_assets.ingest.inspection import inspect
from stock_assets.ingest.snapshot import FOLDERS, META_FILE, Manifest, read_manifest
from stock_assets.ingest.sources import demo_origin, kaggle_origin, source_path, zip_origin
from stock_assets.layout import Layout
from stock_assets.settings import Settings

ASK_SECONDS = 600
"""How long Kaggle's answer is taken for current: each question is a request to its server."""


class Answer(BaseModel, frozen=True):
    """What Kaggle said `at` (Unix seconds): the dataset's current version, or why there is none, in one line."""

    dataset: str
    at: float
    version: str = ""
    problem: str = ""


class Seen(BaseModel, frozen=True):
    """What is remembered from one look to the next.

    `since` (Unix seconds) is when the source was first seen with this fingerprint. `done`: nothing is left to do
    about it, for a run was requested, or the content turned out to be what is published.
    """

    fingerprint: str = ""
    since: float = 0
    done: bool = False
    answer: Answer | None = None


class Decision(NamedTuple):
    """What to remember, and either the key of the run to request or the reason why there is none."""

    seen: Seen
    run_key: str | None
    reason: str


class Look(NamedTuple):
    """What the source looks like, without its content.

    `settle` is how many seconds it must hold still; `is_published` compares the content, which takes longer.
    """

    fingerprint: str
    settle: float
    is_published: Callable[[Manifest], bool]


def watch(settings: Settings, seen: Seen, now: float, busy: bool) -> Decision:
    """Look at the source and decide; `busy` says that a run which reads it is queued or in progress.

    A source that cannot be looked at is a reason to wait, and what was seen before stays remembered.
    """
    if settings.source == "kaggle":
        seen = seen.model_copy(update={"answer": _ask_kaggle(settings.kaggle_dataset, seen.answer, now)})
    try:
        look = _look(settings, seen.answer)
        return decide(seen, look, now, busy, lambda: _is_published(Layout(settings.data_dir), look))
    except (UserError, OSError) as error:
        return Decision(seen, None, first_line(error))


def decide(seen: Seen, look: Look, now: float, busy: bool, is_published: Callable[[], bool]) -> Decision:
    """What to do about a source that looks like this at `now`; `is_published` is called at most once a change.

    Even with no time to settle a change is requested at the second look at it: the key of the run has the time of
    the first in it, so it is another one when the same state comes back, and the same one when this look is repeated.
    """
    clock_set_back = now < seen.since and not seen.done
    if look.fingerprint != seen.fingerprint or clock_set_back:
        seen = Seen(fingerprint=look.fingerprint, since=now, answer=seen.answer)
        return Decision(seen, None, f"the source looks new: it counts once it has held still for {look.settle:g} s")
    if seen.done:
        return Decision(seen, None, f"no change since {datetime.fromtimestamp(seen.since, UTC):%Y-%m-%d %H:%M:%S} UTC")
    if now - seen.since < look.settle:
        return Decision(seen, None, f"the source has held still for {now - seen.since:.0f} s of {look.settle:g} s")
    if busy:
        return Decision(seen, None, "the source looks changed, but a run that reads it has not ended: waiting for it")
    done = seen.model_copy(update={"done": True})
    if is_published():
        return Decision(done, None, "the source holds what is published")
    return Decision(done, f"{look.fingerprint} seen {seen.since:.3f}", "")


def _look(settings: Settings, answer: Answer | None) -> Look:
    if settings.source == "demo":
        return _look_at_origin(demo_origin(settings))
    if settings.source == "kaggle":
        if answer is None or answer.problem:
            raise UserError(answer.problem if answer else "Kaggle was not asked")
        return _look_at_origin(kaggle_origin(answer.version))
    path = source_path(settings)
    return _look_at_folder(settings, path) if path.is_dir() else _look_at_zip(settings, path)


def _look_at_origin(origin: str) -> Look:
    return Look(origin, 0, lambda manifest: manifest.origin == origin)


def _look_at_folder(settings: Settings, path: Path) -> Look:
    stats = {
        entry.relative_to(path).as_posix(): stat_of(entry)
        # Whatever lies there counts: what copies a file may first write it under another name.
        for entry in (path / META_FILE, *(entry for folder in FOLDERS for entry in (path / folder).glob("*")))
    }
    if len(stats) == 1:
        raise UserError(f"STOCK_ASSETS_SOURCE_PATH={path}: there are no files in its stocks/ or etfs/ yet")
    digest = hashlib.sha256()
    for name, numbers in sorted(stats.items()):
        digest.update(os.fsencode(f"{name}\0{numbers}\n"))

    def is_published(manifest: Manifest) -> bool:
        if manifest.origin != str(path):
            return False
        if any((stats.get(file.file) or (-1,))[0] != file.size for file in manifest.loadable):
            return False  # told by the sizes alone, without reading a market whose every file has grown
        return inspect("folder", str(path), path, thread_count(settings), manifest).version == manifest.version

    return Look(f"folder {path} {digest.hexdigest()[:16]}", settings.settle_seconds, is_published)


def _look_at_zip(settings: Settings, path: Path) -> Look:
    fingerprint = f"zip {path} {' '.join(map(str, stat_of(path)))}"
    return Look(fingerprint, settings.settle_seconds, lambda manifest: manifest.origin == zip_origin(path))


def stat_of(path: Path) -> tuple[int, ...]:
    """Size in bytes, and the times of the last change of content and of inode; nothing where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _ask_kaggle(dataset: str, before: Answer | None, now: float) -> Answer:
    """Kaggle's answer, or the one `before` as long as it is current; also an error is not asked for again at once."""
    if before and before.dataset == dataset and 0 <= now - before.at < ASK_SECONDS:
        return before
    try:
        return Answer(dataset=dataset, at=now, version=kaggle_dataset.current_version(dataset, lambda _: None, tries=1))
    except UserError as error:
        return Answer(dataset=dataset, at=now, problem=first_line(error))


def _is_published(layout: Layout, look: Look) -> bool:
    """Whether the published snapshot is of what was looked at."""
    if not layout.manifest.exists():
        return False
    try:
        return look.is_published(read_manifest(layout))
    except UserError:
        return False  # a source that cannot be used is for the run to refuse, with its line and its alert
