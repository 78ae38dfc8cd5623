-- How far published rows ($files) go beyond a day ($until): the newest date, the weekdays with rows after it (a stray
-- weekend row is no trading day), their rows, and the day before the last $days such weekdays. Grain: one row.
WITH days AS (
    SELECT "Date", count(*) AS "rows" FROM read_parquet($files) GROUP BY "Date"
)
SELECT
    CAST(max("Date") AS VARCHAR) AS newest,
    count(*) FILTER ("Date" > CAST($until AS DATE) AND isodow("Date") <= 5) AS days_behind,
    CAST(coalesce(sum("rows") FILTER ("Date" > CAST($until AS DATE)), 0) AS BIGINT) AS rows_behind,
    CAST((
        SELECT min("Date") - 1 FROM (FROM days WHERE isodow("Date") <= 5 ORDER BY "Date" DESC LIMIT $days)
    ) AS VARCHAR) AS before_recent
FROM days;
