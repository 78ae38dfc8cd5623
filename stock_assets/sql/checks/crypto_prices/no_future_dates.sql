-- Offenders: assets with rows after a day ($latest) that is over nowhere yet.
SELECT asset, max(date) AS last_date, count(*) AS "rows"
FROM crypto_prices
WHERE date > $latest
GROUP BY asset
ORDER BY asset;
