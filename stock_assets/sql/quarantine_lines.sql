-- The lines that did not parse, from DuckDB's reject tables, which name each wrong field: the first one is told.
INSERT INTO quarantine
SELECT
    source_files.file,
    line,
    "Symbol",
    NULL,
    first(error_type || ': ' || error_message ORDER BY column_idx),
    left(trim(first(csv_line ORDER BY column_idx), chr(10) || chr(13)), 200),
    1
FROM reject_errors
JOIN reject_scans USING (scan_id, file_id)
JOIN source_files ON "Symbol" = parse_filename(file_path, true) AND fault IS NULL
GROUP BY source_files.file, "Symbol", line
ORDER BY source_files.file, line;
