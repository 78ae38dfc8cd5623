-- The two inputs of a feature file ($features), in the order of its rows; NULL where the window is not full.
-- Grain: one row per Symbol and Date.
SELECT vol_moving_avg, adj_close_rolling_med
FROM read_parquet($features, hive_partitioning = false);
