-- How much some letters ($letters) have, for the shares of offenders. Grain: one row.
SELECT coalesce(sum("rows"), 0)::BIGINT AS "rows", count(*) AS symbols FROM symbols WHERE list_contains($letters, letter);
