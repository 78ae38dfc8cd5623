-- The rows of changed or removed files ($files) go, before `source_files` is made anew.
DELETE FROM combined
WHERE "Symbol" IN (
    SELECT "Symbol" FROM source_files WHERE fault IS NULL AND file IN (SELECT unnest($files))
);
