-- Offenders: letters ($letters) whose Parquet file has other than the rows of `combined`; $letter_rows are those of the
-- files, NULL for a letter without one.
SELECT letter, found."rows" AS in_file, wanted."rows" AS in_combined
FROM (SELECT unnest($letters) AS letter, unnest($letter_rows) AS "rows") AS found
LEFT JOIN (SELECT letter, sum("rows")::BIGINT AS "rows" FROM symbols GROUP BY letter) AS wanted USING (letter)
WHERE found."rows" IS DISTINCT FROM wanted."rows"
ORDER BY letter;
