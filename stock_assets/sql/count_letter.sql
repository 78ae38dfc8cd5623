-- How much `combined` has of one letter ($letter). Grain: one row.
SELECT count(*) AS "rows", count(DISTINCT "Symbol") AS symbols FROM combined WHERE letter = $letter;
