-- Days between the first and the last one of an asset that have no row, as rows that lack the day after.
SELECT asset, date, next_date - date - 1 AS days, 1 AS "rows"
FROM (SELECT asset, date, lead(date) OVER (PARTITION BY asset ORDER BY date) AS next_date FROM crypto_prices)
WHERE next_date > date + 1
ORDER BY asset, date;
