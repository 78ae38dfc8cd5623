-- The forecasts, the registered arrays `forecast_rows`, by the model of a version ($version) to a Parquet file ($path).
-- Grain: one row per Symbol.
COPY (
    SELECT * REPLACE (CAST(as_of AS DATE) AS as_of, CAST(forecast_for AS DATE) AS forecast_for)
    FROM forecast_rows
    ORDER BY "Symbol"
)
TO $path (FORMAT parquet, COMPRESSION zstd, KV_METADATA {model: $version});
