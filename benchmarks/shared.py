"""What both hand-written scripts use: which files there are, seconds by stage, and the line they print."""

import json
import string
import time
from collections import defaultdict
from pathlib import Path


def files_by_letter(root: Path) -> dict[str, list[Path]]:
    """Price files by the first letter of their symbol, `0` for every other; an empty file has no header to read."""
    groups: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(root.glob("*/*.csv"), key=lambda path: path.stem):
        letter = path.name[0].upper()
        if path.stat().st_size:
            groups[letter if letter in string.ascii_uppercase else "0"].append(path)
    return dict(sorted(groups.items()))


def parquet_path(out: Path, table: str, letter: str) -> Path:
    """Where a table's file goes; its folder is made."""
    path = out / table / f"letter={letter}" / "part-0.parquet"
    path.parent.mkdir(parents=True)
    return path


class Stopwatch:
    """Seconds by stage: `lap` adds the time since the one before."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._start = self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] += now - self._last
        self._last = now

    def print_line(self, rows: int) -> None:
        """One line of JSON, for `benchmarks.full_size`."""
        print(json.dumps({"seconds": self.seconds | {"total": self._last - self._start}, "rows": rows}))
