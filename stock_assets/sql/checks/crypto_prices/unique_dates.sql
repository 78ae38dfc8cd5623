-- Dates that an asset has more than once.
SELECT asset, date, count(*) AS "rows" FROM crypto_prices GROUP BY asset, date HAVING count(*) > 1 ORDER BY ALL;
