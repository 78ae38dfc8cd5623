"""The published symbols, in memory: found by their spelling or nearly so, searched by symbol and name."""

import re
from datetime import date
from typing import Any

from pydantic import BaseModel, Field

from serving.published import Columns

COLUMNS = ("Symbol", "Security Name", "is_etf", "first_date", "last_date", "rows")
NEAR = 5
"""Symbols that are named in place of one that there is not."""
LONGEST = 32
"""Characters of a symbol that are looked at; no symbol is that long."""
_BETWEEN_WORDS = re.compile(r"[\W_]+")


class Symbol(BaseModel):
    """What is published of one symbol."""

    symbol: str
    name: str | None = Field(description="The security's name; null where the source has none.")
    is_etf: bool
    first_date: date = Field(description="The symbol's first trading day.")
    last_date: date = Field(description="Its last trading day.")
    rows: int = Field(description="Its trading days.")


class UnknownSymbolError(Exception):
    """No such symbol, or nothing is known of it for what was asked; `near` are symbols that may be meant."""

    def __init__(self, detail: str, near: list[Symbol]) -> None:
        super().__init__(detail)
        self.near = near


class Symbols:
    """The file of symbols, about 8,000 rows in order of Symbol. `newest` is the newest day of the data."""

    def __init__(self, columns: Columns, _: dict[str, str]) -> None:
        self._columns = columns
        self._symbols: list[str] = columns["Symbol"].tolist()
        self._folded = [symbol.casefold() for symbol in self._symbols]
        self._words = [f" {_words(name or '')}" for name in columns["Security Name"].tolist()]
        self._places = {folded: place for place, folded in enumerate(self._folded)}
        self._places |= {symbol: place for place, symbol in enumerate(self._symbols)}
        self._alphabet = sorted(set("".join(self._folded)))
        self.newest: date | None = columns["last_date"].max().item() if self._symbols else None

    def find(self, asked: str) -> Symbol:
        """A symbol in upper or lower case. Raises `UnknownSymbolError`."""
        place = self._places.get(asked, self._places.get(asked.casefold()))
        if place is None:
            near = self.near(asked)
            hint = f"; near it: {', '.join(symbol.symbol for symbol in near)}" if near else ""
            raise UnknownSymbolError(f"there is no symbol {asked[:LONGEST]!r}{hint}", near)
        return self._row(place)

    def names(self) -> dict[str, str | None]:
        """The securities' names by symbol."""
        return dict(zip(self._symbols, self._columns["Security Name"].tolist(), strict=True))

    def search(self, query: str, limit: int) -> list[Symbol]:
        """Best first: the symbol itself, symbols that begin so, names with a word that does, names that hold it."""
        folded, words = query.strip().casefold(), _words(query)
        if not folded:
            return [self._row(place) for place in range(min(limit, len(self._symbols)))]
        ranked = [(rank, place) for place in range(len(self._symbols)) if (rank := self._rank(place, folded, words))]
        return [self._row(place) for _, place in sorted(ranked)[:limit]]

    def near(self, asked: str) -> list[Symbol]:
        """Symbols one slip of the keys away, then what a search finds, then names with a word one slip away."""
        folded = asked.strip().casefold()[:LONGEST]
        slips = _slips(folded, self._alphabet)
        found = [place for place, symbol in enumerate(self._folded) if symbol in slips]
        near = [self._row(place) for place in found[:NEAR]]
        near += self.search(folded, NEAR) if folded else []
        if not near:
            found = [place for place, name in enumerate(self._words) if not slips.isdisjoint(name.split())]
            near = [self._row(place) for place in found[:NEAR]]
        return list({symbol.symbol: symbol for symbol in near}.values())[:NEAR]

    def _rank(self, place: int, folded: str, words: str) -> int:
        """1 is best, 0 is none."""
        symbol, name = self._folded[place], self._words[place]
        if symbol.startswith(folded):
            return 1 if symbol == folded else 2
        if words and words in name:
            return 3 if f" {words}" in name else 4
        return 0

    def _row(self, place: int) -> Symbol:
        values: list[Any] = [self._columns[name][place] for name in COLUMNS]
        symbol, name, is_etf, first, last, rows = values
        return Symbol(
            symbol=symbol, name=name, is_etf=bool(is_etf), first_date=first.item(), last_date=last.item(), rows=rows
        )


def _words(text: str) -> str:
    return _BETWEEN_WORDS.sub(" ", text).strip().casefold()


def _slips(word: str, alphabet: list[str]) -> set[str]:
    """All that one letter left out, added, changed or exchanged with the next one makes of a word.

    Norvig, How to Write a Spelling Corrector, https://norvig.com/spell-correct.html.
    """
    pairs = [(word[:place], word[place:]) for place in range(len(word) + 1)]
    left_out = {before + after[1:] for before, after in pairs if after}
    exchanged = {before + after[1] + after[0] + after[2:] for before, after in pairs if len(after) > 1}
    changed = {before + letter + after[1:] for before, after in pairs if after for letter in alphabet}
    added = {before + letter + after for before, after in pairs for letter in alphabet}
    return (left_out | exchanged | changed | added) - {word, ""}
