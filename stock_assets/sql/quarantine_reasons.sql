-- How much was set aside for each reason. Grain: one row per reason.
SELECT reason, count(*) AS entries, sum("rows")::BIGINT AS "rows", count(DISTINCT file) AS files
FROM quarantine
GROUP BY reason
ORDER BY entries DESC, reason;
