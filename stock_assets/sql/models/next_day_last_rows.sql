-- As `next_day_rows`: the last row of each symbol that has enough history ($history). Grain: one row per Symbol.
SELECT * EXCLUDE ("Symbol", "Volume")
FROM read_parquet($path, hive_partitioning = false, file_row_number = true)
WHERE history >= $history
QUALIFY row_number() OVER (PARTITION BY "Symbol" ORDER BY "Date" DESC) = 1
ORDER BY file_row_number;
