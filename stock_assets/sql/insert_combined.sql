-- The sound staged lines of one letter ($letter), in the order of symbol and date.
INSERT INTO combined
SELECT
    "Symbol",
    "Security Name",
    "Date",
    "Open",
    "High",
    "Low",
    "Close",
    "Adj Close",
    CAST("Volume" AS BIGINT),
    $letter
FROM staged
JOIN source_files USING ("Symbol")
WHERE fault IS NULL AND staged.rowid NOT IN (SELECT place FROM rejected)
ORDER BY "Symbol", "Date";
