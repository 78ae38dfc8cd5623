-- Files whose rows are not all in one of the tables: read = kept + quarantined.
SELECT file, "rows" AS lines, rows_kept, rows_quarantined
FROM source_files
WHERE "rows" <> rows_kept + rows_quarantined
ORDER BY file;
