"""Which checks the tables have. Their statements are in `sql/checks`; `spot_check` is computed by numpy."""

from typing import NamedTuple


class Check(NamedTuple):
    """One check. `unit` is what its offenders are counted in; a blocking one stops the publication if it fails.

    `remedy` says what the user can do about a blocking one that failed.
    """

    name: str
    unit: str
    description: str
    remedy: str = ""

    @property
    def blocking(self) -> bool:
        return bool(self.remedy)


RUN_AGAIN = "run again once the files rest"
MAKE_ANEW = "remove market.duckdb from the data folder and run again, which makes it anew from the raw files"
WINDOWS_ANEW = "remove the files of these letters from lake/features and run again, which makes them anew"

COMBINED = (
    Check(
        "schema", "columns", "The columns of `combined`, their order and types are those of the contract.", MAKE_ANEW
    ),
    Check(
        "reconciled",
        "files",
        "Every row of every file of the snapshot is in `combined` or in `quarantine`, and no other row is.",
        f"{RUN_AGAIN}; if that does not help, {MAKE_ANEW}",
    ),
    Check("unique_dates", "rows", "A symbol has each date once.", MAKE_ANEW),
    Check("one_letter", "symbols", "All rows of a symbol are in one letter, and it is the right one.", MAKE_ANEW),
    Check(
        "no_future_dates",
        "rows",
        "No row is dated later than tomorrow, in UTC.",
        "mend or remove these rows in the raw files",
    ),
    Check("zero_volumes", "rows", "Days on which no share was traded, or the volume is unknown."),
    Check(
        "bad_prices",
        "rows",
        "Prices that cannot be: a close or adjusted close that is not above zero, another price below zero, any price "
        "above a million dollars. A zero Open, High or Low is an unknown one, which is no fault.",
    ),
    Check("high_below_low", "rows", "Days whose highest price, where it is known, is below the lowest."),
    Check("long_gaps", "symbols", "Symbols with more than 30 trading days between two rows."),
    Check("stale_symbols", "symbols", "Symbols whose last row is over 30 trading days before the market's last day."),
    Check("lost_symbols", "symbols", "Symbols that the table had before its last change, and of which no row is left."),
    Check("missing_names", "symbols", "Symbols without a security name in `symbols_valid_meta.csv`."),
)

FEATURES = (
    Check("schema", "columns", "The columns of the Parquet files are those of the contract.", WINDOWS_ANEW),
    Check("complete", "letters", "Each letter's Parquet file has as many rows as `combined` has.", WINDOWS_ANEW),
    Check(
        "warm_up", "symbols", "Both features are missing on a symbol's first 29 rows, and nowhere else.", WINDOWS_ANEW
    ),
    Check(
        "spot_check",
        "sampled rows",
        "Features of a sample of rows, computed again from `combined` without SQL windows, are the same to 1e-9. Other "
        "data is sampled in other places.",
        WINDOWS_ANEW,
    ),
)

CRYPTO = (
    Check(
        "reconciled",
        "files",
        "Every row of every crypto file is in `crypto_prices` or in `crypto_quarantine`.",
        RUN_AGAIN,
    ),
    Check("unique_dates", "rows", "An asset has each date once.", "mend the files"),
    Check("no_future_dates", "rows", "No row is dated later than tomorrow, in UTC.", "mend or remove these rows"),
    Check("missing_days", "rows", "Days that have no row on the day after, though later ones follow: no label."),
)

CHECKS: dict[str, tuple[Check, ...]] = {"combined": COMBINED, "features": FEATURES, "crypto_prices": CRYPTO}
