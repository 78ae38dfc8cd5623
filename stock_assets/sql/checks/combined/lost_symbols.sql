-- Offenders: symbols all of whose rows went with the last publication, and how many that were: their files are gone or
-- broken.
SELECT letter, "Symbol", rows_before, last_changed AS last_date
FROM restatements
WHERE rows_removed = rows_before
ORDER BY "Symbol";
