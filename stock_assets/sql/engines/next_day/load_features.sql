-- As `engines/load_features`, of the next-day features. Grain: one row per Symbol and Date.
CREATE TABLE next_day_features AS SELECT *, $letter AS letter FROM read_parquet($paths, hive_partitioning = false);
