-- Offenders: symbols of some letters ($letters) that do not lack each feature exactly in their first 29 rows, in the
-- Parquet files ($files). That many are NULL, and all of them are before the first that is not.
WITH found AS (
    SELECT
        "Symbol",
        count(*) FILTER (vol_moving_avg IS NULL) AS no_average,
        count(*) FILTER (adj_close_rolling_med IS NULL) AS no_median,
        max("Date") FILTER (vol_moving_avg IS NULL) > min("Date") FILTER (vol_moving_avg IS NOT NULL)
        OR max("Date") FILTER (adj_close_rolling_med IS NULL) > min("Date") FILTER (adj_close_rolling_med IS NOT NULL)
            AS late
    FROM read_parquet($files, hive_partitioning = false)
    GROUP BY "Symbol"
)
SELECT letter, "Symbol", least(29, wanted."rows") AS wanted, no_average, no_median, late
FROM found
FULL JOIN (SELECT * FROM symbols WHERE list_contains($letters, letter)) AS wanted USING ("Symbol")
WHERE
    wanted."rows" IS NULL
    OR no_average IS DISTINCT FROM least(29, wanted."rows")
    OR no_median IS DISTINCT FROM least(29, wanted."rows")
    OR late
ORDER BY letter, "Symbol";
