-- The files that could not be loaded at all, and are not there yet.
INSERT INTO quarantine
SELECT file, NULL, "Symbol", NULL, fault, NULL, "rows"
FROM source_files
WHERE fault IS NOT NULL AND file NOT IN (SELECT file FROM quarantine)
ORDER BY file;
