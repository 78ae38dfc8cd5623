-- The features of one letter ($letter) from the files ($paths) that parts of them are in, in place of the view.
-- Grain: one row per Symbol and Date.
CREATE TABLE features AS SELECT *, $letter AS letter FROM read_parquet($paths, hive_partitioning = false);
