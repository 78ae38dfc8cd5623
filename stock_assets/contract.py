"""The columns of the published tables that others rely on: name, type in DuckDB and Parquet, meaning."""

from stock_assets.layout import Table

Column = tuple[str, str, str]

COMBINED_COLUMNS: tuple[Column, ...] = (
    ("Symbol", "VARCHAR", "The file's name before `.csv`, which is the column NASDAQ Symbol of the meta file."),
    ("Security Name", "VARCHAR", "From `symbols_valid_meta.csv`; NULL where the symbol is not in it."),
    ("Date", "DATE", "Trading day."),
    ("Open", "DOUBLE", "First price of the day in dollars, adjusted for splits; 0 where unknown."),
    ("High", "DOUBLE", "Highest price of the day in dollars, adjusted for splits."),
    ("Low", "DOUBLE", "Lowest price of the day in dollars, adjusted for splits."),
    ("Close", "DOUBLE", "Last price of the day in dollars, adjusted for splits."),
    ("Adj Close", "DOUBLE", "Last price in dollars, adjusted for splits and dividends; later ones restate it."),
    ("Volume", "BIGINT", "Shares traded."),
)
LETTER_COLUMN: Column = ("letter", "VARCHAR", "The partition: the symbol's first letter, or 0.")
FEATURE_COLUMNS: tuple[Column, ...] = (
    ("vol_moving_avg", "DOUBLE", "Mean of Volume over the row and the 29 before it; NULL on the first 29 rows."),
    ("adj_close_rolling_med", "DOUBLE", "Median of Adj Close over the same 30 rows; NULL on the first 29 rows."),
)
PREDICTION_COLUMNS: tuple[Column, ...] = (
    *(column for column in COMBINED_COLUMNS if column[0] in ("Symbol", "Date", "Volume")),
    *FEATURE_COLUMNS,
    (
        "predicted_volume",
        "BIGINT",
        "The model's answer in shares, rounded; NULL without a full window, and where the inputs are impossible.",
    ),
)

CHECKED: dict[Table, tuple[Column, ...]] = {
    "combined": (*COMBINED_COLUMNS, LETTER_COLUMN),
    "features": (*COMBINED_COLUMNS, *FEATURE_COLUMNS),
}
"""What is checked before it is published: `combined` in the database, `features` in its Parquet files."""
