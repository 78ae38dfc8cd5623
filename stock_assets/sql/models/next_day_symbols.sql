-- The symbols of one letter's next-day features ($path) in the file's order, each with its rows. Grain: one row per
-- Symbol.
SELECT "Symbol", count(*) AS "rows", any_value(starts_with(file, 'etfs/')) AS is_etf
FROM read_parquet($path, hive_partitioning = false)
JOIN source_files USING ("Symbol")
WHERE rows_kept > 0
GROUP BY "Symbol"
ORDER BY "Symbol";
