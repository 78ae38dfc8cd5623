-- Next-day features of one letter ($path) with enough history ($history), of the days in the registered arrays
-- `wanted_days`: so many of a million as those say, spread evenly. file_row_number is a row's place in
-- `next_day_series`. Grain: one row per Symbol and Date.
SELECT features.* EXCLUDE ("Symbol", "Volume")
FROM read_parquet($path, hive_partitioning = false, file_row_number = true) AS features
JOIN wanted_days ON features."Date" = wanted_days.wanted
WHERE history >= $history AND hash("Symbol", "Date") % 1000000 < of_a_million;
