"""Where things lie, and the letter of a symbol."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_assets.layout import LETTERS, Layout, letter_of


@pytest.mark.parametrize(
    ("symbol", "letter"),
    [("A", "A"), ("ZZZ", "Z"), ("brk", "B"), ("3DX", "0"), ("^VIX", "0"), ("Ärz", "0"), ("ß", "0"), ("", "0")]
    + [(f"{letter}A", "0") for letter in "\u017f\u0131"],  # a long s and an i without a dot: S and I in upper case
)
def test_letter_of_a_symbol(symbol: str, letter: str) -> None:
    assert letter_of(symbol) == letter


@given(st.text())
def test_every_symbol_has_one_of_the_letters(symbol: str) -> None:
    assert letter_of(symbol) in LETTERS


def test_letters_are_zero_and_the_alphabet() -> None:
    assert "".join(LETTERS) == "0ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_places_are_those_of_the_data_contract() -> None:
    layout = Layout(Path("data"))

    assert layout.manifest == Path("data/raw/manifest.json")
    assert layout.database == Path("data/market.duckdb")
    assert layout.parquet("combined", "0").parent == Path("data/lake/combined/letter=0")
    assert layout.parquet("features", "Z").parent == Path("data/lake/features/letter=Z")
    assert layout.symbols == Path("data/lake/symbols/part-0.parquet")
    assert layout.next_day("explanations") == Path("data/lake/next_day_explanations/part-0.parquet")
    assert layout.models == Path("data/models")
    assert layout.dagster_home == Path("data/dagster")
