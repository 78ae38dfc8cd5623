"""The table `features`, from `combined`, by the SQL files: the windows of changed symbols, and no more."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
from duckdb import DuckDBPyConnection

from stock_assets.errors import first_line
from stock_assets.provenance import Stale
from stock_assets.publishing import Report
from stock_assets.statements import run


class LetterFacts(NamedTuple):
    """What was made of one letter: `symbols_computed` had their windows computed, the rows of the others were kept.

    `skipped` says that its file fitted `combined` already and was left as it is.
    """

    letter: str
    rows: int
    symbols: int
    symbols_computed: int
    skipped: bool
    seconds: float


def update_features(
    connection: DuckDBPyConnection,
    letters: Sequence[str],
    stale: Mapping[str, Stale],
    parquet: Mapping[str, Path],
    report: Report,
) -> list[LetterFacts]:
    """Write the features of the stale ones of these letters, each to its Parquet file in `parquet`.

    A letter without rows gets no file.
    """
    facts = []
    for letter in letters:
        start = time.perf_counter()
        ((rows, symbols),) = run(connection, "count_letter", letter=letter)
        computed = stale[letter].changed if letter in stale else []
        if rows and letter in stale:
            report(f"letter {letter}: {len(computed)} of {symbols} symbols, {rows} rows")
            _write(connection, letter, stale[letter], parquet[letter], report)
        seconds = round(time.perf_counter() - start, 3)
        facts.append(LetterFacts(letter, rows, symbols, len(computed), letter not in stale, seconds))
    return facts


def _write(connection: DuckDBPyConnection, letter: str, stale: Stale, path: Path, report: Report) -> None:
    target = {"letter": letter, "path": str(path), "made_from": stale.made_from}
    if stale.kept:
        kept = {"present": str(stale.present), "kept": stale.kept}
        try:
            run(connection, f"{stale.statements}refresh_features", **target, **kept, changed=stale.changed)
        except duckdb.Error as error:
            report(f"letter {letter}: all symbols, for {stale.present} cannot be read: {first_line(error)}")
        else:
            return
    run(connection, f"{stale.statements}export_features", **target)
