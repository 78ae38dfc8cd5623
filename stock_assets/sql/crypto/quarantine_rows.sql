-- The rejected staged lines, with their values as they were read.
INSERT INTO quarantine
SELECT
    file,
    NULL,
    "Symbol",
    date,
    reason,
    concat_ws(
        ',',
        coalesce(CAST(date AS VARCHAR), ''),
        coalesce(CAST(price AS VARCHAR), ''),
        coalesce(CAST(volume AS VARCHAR), ''),
        coalesce(CAST(marketCap AS VARCHAR), '')
    ),
    1
FROM rejected
JOIN staged ON staged.rowid = rejected.place
JOIN source_files USING ("Symbol")
WHERE fault IS NULL
ORDER BY file, place;
