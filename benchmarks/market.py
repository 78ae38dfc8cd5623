"""Writes the generated market that is measured: `python -m benchmarks.market FOLDER FILES`; always the same bytes."""

import sys
from datetime import date
from pathlib import Path

from stock_assets.budget import thread_count
from stock_assets.ingest.demo import write_market
from stock_assets.publishing import scratch
from stock_assets.settings import load_settings

START, SEED = date(1980, 1, 2), 7


def main(folder: Path, files: int) -> None:
    """Build the market under a temporary name: what has the right name is whole."""
    with scratch(folder) as temporary:
        temporary.mkdir()
        write_market(temporary, files, START, SEED, thread_count(load_settings()))
        temporary.rename(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
