-- Offenders: symbols whose last row is more than 30 trading days before the last day of the market. A trading day is a
-- weekday on which any symbol has a row.
SELECT letter, "Symbol", last_date, count(*) AS trading_days
FROM symbols
JOIN (SELECT DISTINCT "Date" AS trading_day FROM combined) ON trading_day > last_date
WHERE isodow(trading_day) <= 5 AND last_date < (SELECT max(last_date) FROM symbols) - 42
GROUP BY ALL
HAVING count(*) > 30
ORDER BY trading_days DESC, "Symbol";
