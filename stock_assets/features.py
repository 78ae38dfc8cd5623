"""The table `features`, from `combined`, by the SQL files: the windows of changed symbols, and no more."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

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


class LetterWork(NamedTuple):
    """A letter whose features are to be written to `path`: `rows` of them, and `stale` says what its file lacks."""

    letter: str
    rows: int
    stale: Stale
    path: Path


class FeatureWriter(Protocol):
    """What writes feature files, here or elsewhere."""

    def write_features(self, connection: DuckDBPyConnection, work: Sequence[LetterWork]) -> dict[str, float]:
        """Write these files; the seconds that each letter took.

        `connection` is to the published database and has the view that is written.
        """
        ...


def update_features(
    connection: DuckDBPyConnection,
    letters: Sequence[str],
    stale: Mapping[str, Stale],
    parquet: Mapping[str, Path],
    writer: FeatureWriter,
) -> list[LetterFacts]:
    """Have the features of the stale ones of these letters written, each to its Parquet file in `parquet`.

    A letter without rows gets no file.
    """
    counts = {letter: run(connection, "count_letter", letter=letter)[0] for letter in letters}
    work = [
        LetterWork(letter, rows, stale[letter], parquet[letter])
        for letter, (rows, _) in counts.items()
        if rows and letter in stale
    ]
    seconds = writer.write_features(connection, work)
    facts = []
    for letter, (rows, symbols) in counts.items():
        computed = stale[letter].changed if letter in stale else []
        facts.append(
            LetterFacts(letter, rows, symbols, len(computed), letter not in stale, round(seconds.get(letter, 0), 3))
        )
    return facts


def write_letter(connection: DuckDBPyConnection, letter: str, stale: Stale, path: Path, report: Report) -> None:
    """Write the features of one letter of what `connection` has; windows are computed for changed symbols only."""
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


def told(work: LetterWork) -> str:
    """What is going to be done, in a line."""
    return f"letter {work.letter}: {len(work.stale.changed)} of {_symbols(work.stale)} symbols, {work.rows} rows"


def _symbols(stale: Stale) -> int:
    return len(stale.kept) + len(stale.changed)
