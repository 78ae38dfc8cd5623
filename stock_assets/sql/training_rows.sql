-- The published features ($files) that have a full window: date, label and the two inputs.
-- Grain: one row per Symbol and Date from the 30th row of a symbol on.
SELECT "Date", "Volume", vol_moving_avg, adj_close_rolling_med
FROM read_parquet($files)
WHERE vol_moving_avg IS NOT NULL;
