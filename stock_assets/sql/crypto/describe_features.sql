-- What a feature file ($path) has: rows, last day and assets. Grain: one row.
SELECT count(*) AS "rows", CAST(max(date) AS VARCHAR) AS until, list(DISTINCT asset ORDER BY asset) AS assets
FROM read_parquet($path, hive_partitioning = false);
