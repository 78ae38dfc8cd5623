-- The balance of a snapshot. Grain: one row.
SELECT
    count(*) AS files,
    count(*) FILTER (fault IS NULL) AS files_loaded,
    count(*) FILTER (fault IS NOT NULL) AS files_quarantined,
    coalesce(sum("rows"), 0)::BIGINT AS rows_read,
    coalesce(sum(rows_kept), 0)::BIGINT AS rows_kept,
    coalesce(sum(rows_quarantined), 0)::BIGINT AS rows_quarantined,
    count(*) FILTER (rows_kept > 0) AS symbols,
    count(*) FILTER (fault IS NULL AND "Security Name" IS NULL) AS symbols_without_name
FROM source_files;
