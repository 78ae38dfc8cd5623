-- What became of each file's rows, counted in the tables, beside what the manifest counted in the file.
UPDATE source_files
SET
    rows_kept = (SELECT count(*) FROM crypto_prices WHERE asset = "Symbol" AND fault IS NULL),
    rows_quarantined = (SELECT coalesce(sum("rows"), 0) FROM quarantine WHERE quarantine.file = source_files.file);
