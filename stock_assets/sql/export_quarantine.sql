-- `quarantine` to a Parquet file ($path), which carries the version of the tables ($made_from).
COPY (SELECT * FROM quarantine ORDER BY ALL)
TO $path (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2, KV_METADATA {made_from: $made_from});
