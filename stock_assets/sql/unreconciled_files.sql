-- Offenders: files whose rows are not all in `combined` or `quarantine`.
SELECT file, "rows", rows_kept, rows_quarantined
FROM source_files
WHERE "rows" <> rows_kept + rows_quarantined
ORDER BY file;
