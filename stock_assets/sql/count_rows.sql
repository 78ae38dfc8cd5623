-- What became of each file's rows, counted in the tables, beside what the manifest counted in the file.
UPDATE source_files
SET
    rows_kept = coalesce(kept.n, 0),
    rows_quarantined = coalesce(bad.n, 0)
FROM source_files AS same
LEFT JOIN (SELECT "Symbol", count(*) AS n FROM combined GROUP BY ALL) AS kept
    ON kept."Symbol" = same."Symbol" AND same.fault IS NULL
LEFT JOIN (SELECT file, sum("rows") AS n FROM quarantine GROUP BY ALL) AS bad ON bad.file = same.file
WHERE same.file = source_files.file;
