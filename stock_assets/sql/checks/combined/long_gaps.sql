-- Offenders: symbols with more than 30 trading days between two of their rows. A trading day is a weekday on which any
-- symbol has a row; more than 30 of them last longer than 42 days.
SELECT letter, "Symbol", gap_from, gap_to, count(*) AS trading_days
FROM symbols
JOIN (SELECT DISTINCT "Date" AS trading_day FROM combined) ON trading_day > gap_from AND trading_day < gap_to
WHERE gap_to - gap_from > 42 AND isodow(trading_day) <= 5
GROUP BY ALL
HAVING count(*) > 30
ORDER BY trading_days DESC, "Symbol";
