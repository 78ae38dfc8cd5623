-- Why the forecasts by the model of a version ($version) are what they are, the registered arrays `explained_inputs`, to
-- a Parquet file ($path). Small row groups, so that one symbol is read without the others.
-- Grain: one row per Symbol and input.
COPY (
    SELECT * REPLACE (CAST(as_of AS DATE) AS as_of, CAST(forecast_for AS DATE) AS forecast_for)
    FROM explained_inputs
    ORDER BY "Symbol", abs(contribution) DESC, input
)
TO $path (
    FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2, ROW_GROUP_SIZE 20480, KV_METADATA {model: $version}
);
