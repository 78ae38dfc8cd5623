-- The first entries of the quarantine, for a look in the UI, at most three of each reason.
SELECT file, line, "Date", reason, content
FROM quarantine
QUALIFY row_number() OVER (PARTITION BY reason ORDER BY file, line, "Date") <= 3
ORDER BY reason, file, line, "Date"
LIMIT 50;
