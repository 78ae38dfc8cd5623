-- How much was set aside. Grain: one row.
SELECT count(*) AS entries, coalesce(sum("rows"), 0)::BIGINT AS "rows", count(DISTINCT file) AS files FROM quarantine;
