-- How many of the published features ($files) have a full window, and up to which day. Grain: one row.
SELECT count(vol_moving_avg) AS "rows", CAST(max("Date") AS VARCHAR) AS until
FROM read_parquet($files);
