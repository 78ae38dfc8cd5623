-- The rows of each symbol of one letter ($letter) of `combined`, in the order of feature files. Grain: one row per symbol.
SELECT "Symbol", count(*) AS "rows" FROM combined WHERE letter = $letter GROUP BY ALL ORDER BY "Symbol";
