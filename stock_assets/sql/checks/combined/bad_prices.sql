-- Offenders: symbols with prices that cannot be: a close not above zero, a price below zero or above a million dollars.
SELECT letter, "Symbol", bad_prices AS "rows", round(bad_prices / symbols."rows", 4) AS share
FROM symbols
WHERE bad_prices > 0
ORDER BY bad_prices DESC, "Symbol";
