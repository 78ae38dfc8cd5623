-- The forecasts of the test window beside what came, the registered arrays `backtest_rows` and `backtest_symbols`, to a
-- Parquet file ($path). Grain: one row per Symbol and day that it was forecast from.
COPY (
    SELECT
        "Symbol",
        CAST(as_of AS DATE) AS as_of,
        CAST(actual AS BIGINT) AS next_volume,
        backtest_rows.* EXCLUDE (place, as_of, actual)
    FROM backtest_rows
    JOIN (SELECT row_number() OVER () - 1 AS place, "Symbol" FROM backtest_symbols) USING (place)
    ORDER BY "Symbol", as_of
)
TO $path (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2);
