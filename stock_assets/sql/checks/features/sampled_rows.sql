-- All rows of up to 100 symbols of some letters ($letters): what the windows are made of, and the features that the
-- Parquet files ($files) have. Half of the symbols are among those whose windows were just computed ($computed); which
-- ones hangs on the version of the tables ($version). Grain: one row per Symbol and Date, in that order.
WITH sample AS (
    SELECT "Symbol"
    FROM symbols
    WHERE list_contains($letters, letter)
    QUALIFY row_number() OVER (PARTITION BY list_contains($computed, "Symbol") ORDER BY md5("Symbol" || $version)) <= 50
)
SELECT letter, "Symbol", "Date", "Volume", "Adj Close", vol_moving_avg, adj_close_rolling_med
FROM (SELECT * FROM combined WHERE "Symbol" IN (SELECT "Symbol" FROM sample)) AS prices
LEFT JOIN (
    SELECT "Symbol", "Date", vol_moving_avg, adj_close_rolling_med
    FROM read_parquet($files, hive_partitioning = false)
    WHERE "Symbol" IN (SELECT "Symbol" FROM sample)
) AS features USING ("Symbol", "Date")
ORDER BY "Symbol", "Date";
