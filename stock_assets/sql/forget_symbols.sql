-- The descriptions of symbols go whose files were changed or removed ($files), before `source_files` is made anew.
DELETE FROM symbols
WHERE "Symbol" IN (
    SELECT "Symbol" FROM source_files WHERE fault IS NULL AND file IN (SELECT unnest($files))
);
