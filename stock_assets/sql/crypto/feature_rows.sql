-- The published features ($path), dates as such. Grain: one row per asset and date, in that order.
SELECT * FROM read_parquet($path, hive_partitioning = false) ORDER BY asset, date;
