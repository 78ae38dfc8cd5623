-- How many rows of the next-day features ($files) there are with enough history ($history) on each day, and how much
-- of the market traded: means over its symbols, exact sums, so that no order of adding changes a digit.
-- Grain: one row per Date.
WITH market AS (
    SELECT
        "Date",
        count(*) AS "rows",
        avg(CAST(lag_0 AS DECIMAL(18, 6))) AS surprise,
        avg(CAST(level_5 AS DECIMAL(18, 6))) AS level_5,
        avg(CAST(level_60 AS DECIMAL(18, 6))) AS level_60,
        avg(CAST(z_score AS DECIMAL(18, 6))) AS z_score,
        avg(CAST(move AS DECIMAL(18, 6))) AS move,
        avg(CAST(move_abs AS DECIMAL(18, 6))) AS move_abs,
        ln((1 + sum("Volume")) / (1 + sum(CAST(mean_20 AS DECIMAL(24, 3))))) AS shares
    FROM read_parquet($files)
    WHERE history >= $history
    GROUP BY "Date"
)
SELECT
    "Date",
    "rows",
    CAST(surprise AS FLOAT) AS market_surprise,
    CAST(surprise - lag(surprise) OVER days AS FLOAT) AS market_surprise_change,
    CAST(lag(surprise, 1) OVER days AS FLOAT) AS market_surprise_lag_1,
    CAST(lag(surprise, 4) OVER days AS FLOAT) AS market_surprise_lag_4,
    CAST(level_5 AS FLOAT) AS market_level_5,
    CAST(level_60 AS FLOAT) AS market_level_60,
    CAST(z_score AS FLOAT) AS market_z_score,
    CAST(move AS FLOAT) AS market_move,
    CAST(move_abs AS FLOAT) AS market_move_abs,
    CAST(shares AS FLOAT) AS market_shares
FROM market
WINDOW days AS (ORDER BY "Date")
ORDER BY "Date";
