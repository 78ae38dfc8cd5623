"""The partitions: one a first letter, all of them in one run."""

import dagster as dg

from stock_assets.layout import LETTERS

letters = dg.StaticPartitionsDefinition(list(LETTERS))


def range_tags(first: str, last: str) -> dict[str, str]:
    """Run tags that make one run of the letters from `first` to `last`, both included."""
    return {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }


ALL_LETTERS = range_tags(LETTERS[0], LETTERS[-1])
