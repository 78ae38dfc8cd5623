-- Offenders: symbols with days on which no share was traded, or the volume is unknown.
SELECT letter, "Symbol", zero_volumes AS "rows", round(zero_volumes / symbols."rows", 4) AS share
FROM symbols
WHERE zero_volumes > 0
ORDER BY zero_volumes DESC, "Symbol";
