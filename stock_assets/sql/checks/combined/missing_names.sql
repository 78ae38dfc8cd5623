-- Offenders: symbols of `combined` that have no security name.
SELECT letter, "Symbol", file
FROM source_files
WHERE rows_kept > 0 AND "Security Name" IS NULL
ORDER BY "Symbol";
