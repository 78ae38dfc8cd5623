-- The published features ($features), each row with what the model says of it (`predictions`, arrays in the same order),
-- to a Parquet file ($path), which carries what the model is worth ($model, JSON) and where prices are from ($source).
-- Grain: one row per asset and date; the last one of an asset has no next_price yet: it is the forecast.
COPY (
    SELECT
        asset,
        date,
        price,
        volume,
        marketCap,
        rsi,
        next_price,
        predictions.prediction,
        CAST(date + 1 AS DATE) AS forecast_for,
        predictions.seen_in,
        predictions.beats_random_walk
    FROM (SELECT * FROM read_parquet($features, hive_partitioning = false)) POSITIONAL JOIN predictions
)
TO $path (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2, KV_METADATA {model: $model, source: $source});
