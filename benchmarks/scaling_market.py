"""Markets of any size, cut from one that is large enough: hard links to its files, so that nothing is copied."""

import os
from pathlib import Path

from stock_assets.ingest.snapshot import META_FILE

ROWS_A_FILE = 3500
"""Of the generated market, on average and rounded."""


def files_for(millions: float) -> int:
    """How many files of the generated market have so many rows, about."""
    return round(millions * 1_000_000 / ROWS_A_FILE)


def cut(market: Path, files: int, root: Path) -> None:
    """Link so many of the market's files below `root`, a new folder, spread evenly over the alphabet.

    Raises `ValueError` where the market has fewer.
    """
    everything = sorted(market.glob("*/*.csv"), key=lambda path: (path.stem, path))
    if files > len(everything):
        raise ValueError(f"{market} has {len(everything)} files, fewer than {files}")
    for place in range(files):
        path = everything[place * len(everything) // files]
        target = root / path.relative_to(market)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target)
    os.link(market / META_FILE, root / META_FILE)
