"""Features on a cluster: a task for each letter, or for each part of a large one and one that joins these."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distributed import KilledWorker
from duckdb import DuckDBPyConnection

from stock_assets.engines.cluster import Cluster
from stock_assets.engines.on_worker import Made, Piece, join_pieces, write_piece
from stock_assets.engines.storage import Storage
from stock_assets.errors import UserError
from stock_assets.features import LetterWork, told
from stock_assets.layout import Layout
from stock_assets.publishing import Report
from stock_assets.statements import run

if TYPE_CHECKING:
    from distributed import Future

PIECE_ROWS = 4_000_000
"""Rows that one task computes windows of at most, unless one symbol alone has more: about 2 GB."""


@dataclass(frozen=True)
class Letters:
    """The features of letters whose prices are published below `layout`."""

    cluster: Cluster
    storage: Storage
    layout: Layout
    report: Report

    def write(self, connection: DuckDBPyConnection, work: Sequence[LetterWork]) -> dict[str, float]:
        """Write the features, each to its path; the seconds of work that each letter took, on whatever worker.

        What a lost worker had begun is done again by another one.
        """
        largest_first = sorted(work, key=lambda one: -one.rows)
        try:
            ((nameless,),) = run(connection, "engines/has_nameless")
            futures = [self._submit(connection, one, nameless) for one in largest_first]
            made: list[Made] = self.cluster.results(futures, lambda place: self.report(told(largest_first[place])))
            for line in (line for one in made for line in one.told):
                self.report(line)
            for one in work:
                self.storage.collect(one.path)
        except KilledWorker as error:
            raise UserError(
                f"{error.last_worker.address} and workers before it ended over the same letter, mostly for too "
                "little memory: give the Dask workers more"
            ) from error
        finally:
            self._clean(work)
        return {one.letter: took.seconds for one, took in zip(largest_first, made, strict=True)}

    def _clean(self, work: Sequence[LetterWork]) -> None:
        """What was done is done, and what failed has its own error: that litter stays is only told."""
        try:
            self.storage.clean([one.path for one in work])
        except UserError as error:
            self.report(f"what the workers left stays until the next step: {error}")

    def _submit(self, connection: DuckDBPyConnection, work: LetterWork, nameless: bool) -> "Future[Made]":
        submit = self.cluster.client.submit
        whole = Piece(
            letter=work.letter,
            prices=self.storage.offer(self.layout.parquet("combined", work.letter)),
            present=self.storage.offer(work.stale.present) if work.stale.kept else "",
            target=self.storage.name(work.path),
            stale=work.stale,
            nameless=nameless,
        )
        if work.rows <= PIECE_ROWS:
            return submit(write_piece, self.storage, whole, pure=False)
        pieces = [
            piece._replace(target=self.storage.name(work.path.with_name(f"{work.path.name}.{place}.tmp")))
            for place, piece in enumerate(_pieces(connection, whole))
        ]
        made = [submit(write_piece, self.storage, piece, pure=False) for piece in pieces]
        return submit(join_pieces, self.storage, whole, [piece.target for piece in pieces], made, pure=False)


def _pieces(connection: DuckDBPyConnection, whole: Piece) -> Iterator[Piece]:
    """Parts of a letter: the symbols that keep their features, and the others by so many rows; without targets."""
    stale = whole.stale
    if stale.kept:
        yield whole._replace(stale=stale._replace(changed=[]), symbols=stale.kept)
    for symbols in _grouped(connection, whole):
        yield whole._replace(stale=stale._replace(kept=[], changed=symbols), symbols=symbols)


def _grouped(connection: DuckDBPyConnection, whole: Piece) -> Iterator[list[str]]:
    """The symbols whose windows are to be computed, by at most `PIECE_ROWS` rows, or one."""
    changed, rows_before = set(whole.stale.changed), 0
    group: list[str] = []
    for symbol, rows in run(connection, "engines/symbol_rows", letter=whole.letter):
        if symbol not in changed:
            continue
        if group and rows_before + rows > PIECE_ROWS:
            yield group
            group, rows_before = [], 0
        group.append(symbol)
        rows_before += rows
    if group:
        yield group
