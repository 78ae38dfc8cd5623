-- What became of the published features ($files) after a day ($after): the volume, beside the inputs of the prediction.
-- Grain: one row per Symbol and Date with a full window.
SELECT "Volume", vol_moving_avg, adj_close_rolling_med
FROM read_parquet($files)
WHERE "Date" > CAST($after AS DATE) AND vol_moving_avg IS NOT NULL;
