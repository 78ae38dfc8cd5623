-- Whether the database has the table `snapshot`; what is not finished, or older, has none. Grain: at most one row.
SELECT table_name FROM duckdb_tables() WHERE table_name = 'snapshot' AND NOT internal;
