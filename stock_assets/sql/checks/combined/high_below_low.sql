-- Offenders: symbols with days whose highest price is below the lowest.
SELECT letter, "Symbol", high_below_low AS "rows", round(high_below_low / symbols."rows", 4) AS share
FROM symbols
WHERE high_below_low > 0
ORDER BY high_below_low DESC, "Symbol";
