-- The rows of a feature file ($features), each with its prediction (`predictions`, an array in the same order), to a
-- Parquet file ($path). The cast takes halves to the even neighbour, as the service's `round` does.
-- Grain: one row per Symbol and Date.
COPY (
    SELECT
        "Symbol", "Date", "Volume", vol_moving_avg, adj_close_rolling_med,
        CAST(predictions.predicted AS BIGINT) AS predicted_volume
    FROM read_parquet($features, hive_partitioning = false) POSITIONAL JOIN predictions
)
TO $path (
    FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 1000, KV_METADATA {made_from: $made_from}
);
