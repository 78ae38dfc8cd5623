-- The published features ($files) that have a full window, from a day ($since) on: date, label, the two inputs, and a
-- hash that stands for the symbol, as 26 million texts would take long. A scan of files keeps their order; a join would not.
-- Grain: one row per Symbol and Date from the 30th row of a symbol on.
SELECT "Date", "Volume", vol_moving_avg, adj_close_rolling_med, hash("Symbol") AS symbol
FROM read_parquet($files)
WHERE vol_moving_avg IS NOT NULL AND "Date" >= CAST($since AS DATE);
