-- Offenders: files whose rows are not all in `combined` or `quarantine`, and files that only one of `source_files` and
-- the snapshot ($files) has. `(all)` stands for the tables as a whole, where they have other rows than their files.
SELECT file, "rows", rows_kept, rows_quarantined, snapshot.file IS NOT NULL AS in_snapshot
FROM source_files
FULL JOIN (SELECT unnest($files) AS file) AS snapshot USING (file)
WHERE
    "rows" IS DISTINCT FROM rows_kept + rows_quarantined
    OR source_files.file IS NULL
    OR snapshot.file IS NULL
UNION ALL
SELECT '(all)', "rows", kept, quarantined, true
FROM (SELECT sum("rows")::BIGINT AS "rows", sum(rows_kept) AS k, sum(rows_quarantined) AS q FROM source_files)
CROSS JOIN (SELECT count(*) AS kept FROM combined)
CROSS JOIN (SELECT coalesce(sum("rows"), 0)::BIGINT AS quarantined FROM quarantine)
WHERE kept <> k OR quarantined <> q
ORDER BY file;
