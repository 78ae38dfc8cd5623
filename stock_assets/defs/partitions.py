"""The partitions: one a first letter, all of them in one run."""

from typing import Any

import dagster as dg

from stock_assets.defs.schemas import table_value
from stock_assets.features import LetterFacts
from stock_assets.layout import LETTERS

letters = dg.StaticPartitionsDefinition(list(LETTERS))


def range_tags(first: str, last: str) -> dict[str, str]:
    """Run tags that make one run of the letters from `first` to `last`, both included."""
    return {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }


ALL_LETTERS = range_tags(LETTERS[0], LETTERS[-1])


def letter_metadata(context: dg.AssetExecutionContext, facts: list[LetterFacts]) -> dict[str, Any]:
    """What a run made of its letters as a whole; what it made of each is added to that partition."""
    for letter in facts:
        own = {"dagster/partition_row_count": letter.rows} | letter._asdict()
        context.add_asset_metadata(own, partition_key=letter.letter)
    # Dagster's own keys speak of the whole table, or of one partition; some letters are neither.
    rows_key = {1: "dagster/partition_row_count", len(LETTERS): "dagster/row_count"}.get(len(facts), "rows of the run")
    return {
        rows_key: sum(letter.rows for letter in facts),
        "letters": sum(letter.rows > 0 for letter in facts),
        "letters skipped": sum(letter.skipped and letter.rows > 0 for letter in facts),
        "symbols of the run": sum(letter.symbols for letter in facts),
        "by letter": table_value([letter._asdict() for letter in facts if letter.rows]),
    }
