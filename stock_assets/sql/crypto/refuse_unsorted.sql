-- A file whose dates run backwards is not loaded: which of two lines of a day is the final one is told by their order
-- alone, and two series may have been put together. Lines of a day that comes again count too, unless it comes at once.
UPDATE source_files
SET fault = 'its dates are not in order: ' || later || ' comes after ' || earlier
FROM (
    SELECT "Symbol", first(date ORDER BY place) AS later, first(before ORDER BY place) AS earlier
    FROM (
        SELECT "Symbol", date, rowid AS place, lag(date) OVER (PARTITION BY "Symbol" ORDER BY rowid) AS before
        FROM staged
        WHERE rowid NOT IN (SELECT place FROM rejected WHERE reason NOT LIKE 'duplicate date%')
    )
    WHERE date < before
    GROUP BY "Symbol"
) AS unsorted
WHERE unsorted."Symbol" = source_files."Symbol" AND fault IS NULL;
