-- The sound staged lines, in the order of asset and date.
INSERT INTO crypto_prices
SELECT "Symbol", date, price, volume, marketCap
FROM staged
JOIN source_files USING ("Symbol")
WHERE fault IS NULL AND staged.rowid NOT IN (SELECT place FROM rejected)
ORDER BY "Symbol", date;
