-- The files that could not be loaded at all.
INSERT INTO quarantine
SELECT file, NULL, "Symbol", NULL, fault, NULL, "rows"
FROM source_files
WHERE fault IS NOT NULL
ORDER BY file;
