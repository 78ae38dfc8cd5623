-- Every row of one letter's next-day features ($path), in the file's order, which is by Symbol and Date. Grain: as there.
SELECT "Date", "Volume" FROM read_parquet($path, hive_partitioning = false);
