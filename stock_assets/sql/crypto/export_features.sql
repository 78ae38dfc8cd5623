-- `crypto_features` to a Parquet file ($path), which carries the version of the tables ($made_from).
COPY (SELECT * FROM crypto_features ORDER BY asset, date)
TO $path (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2, KV_METADATA {made_from: $made_from});
