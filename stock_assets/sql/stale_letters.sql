-- Offenders: letters whose published features ($files) are not of the rows that `combined` has now.
SELECT letter
FROM (
    SELECT letter, count(*) AS "rows", sum("Volume") AS volume
    FROM read_parquet($files, hive_partitioning = true, hive_types = {'letter': VARCHAR})
    GROUP BY letter
) AS made
LEFT JOIN (
    SELECT letter, count(*) AS "rows", sum("Volume") AS volume FROM combined GROUP BY letter
) AS present USING (letter)
WHERE (made."rows", made.volume) IS DISTINCT FROM (present."rows", present.volume)
ORDER BY letter;
