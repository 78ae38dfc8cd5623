-- What `insert_restatements` needs and the published database, attached as `before`, lacks: a database of older code
-- has other columns. Grain: one row per column.
SELECT table_name || '.' || column_name
FROM duckdb_columns() AS needed
WHERE
    database_name = current_database()
    AND (
        (
            table_name = 'combined'
            AND column_name IN ('Symbol', 'Date', 'Open', 'High', 'Low', 'Close', 'Adj Close', 'Volume', 'letter')
        )
        OR (table_name = 'source_files' AND column_name IN ('Symbol', 'letter', 'fault', 'sha256'))
        OR (table_name = 'snapshot' AND column_name = 'version')
    )
    AND NOT EXISTS (
        FROM duckdb_columns() AS present
        WHERE
            present.database_name = 'before'
            AND present.table_name = needed.table_name
            AND present.column_name = needed.column_name
            AND present.data_type = needed.data_type
    )
ORDER BY ALL;
