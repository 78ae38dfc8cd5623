-- The rejected staged lines, with their values as they were read.
INSERT INTO quarantine
SELECT
    file,
    NULL,
    "Symbol",
    "Date",
    reason,
    concat_ws(
        ',',
        coalesce(CAST("Date" AS VARCHAR), ''),
        coalesce(CAST("Open" AS VARCHAR), ''),
        coalesce(CAST("High" AS VARCHAR), ''),
        coalesce(CAST("Low" AS VARCHAR), ''),
        coalesce(CAST("Close" AS VARCHAR), ''),
        coalesce(CAST("Adj Close" AS VARCHAR), ''),
        coalesce(CAST("Volume" AS VARCHAR), '')
    ),
    1
FROM rejected
JOIN staged ON staged.rowid = rejected.place
JOIN source_files USING ("Symbol")
WHERE fault IS NULL
ORDER BY file, place;
