-- `next_day_features` of one letter ($letter) to a Parquet file ($path); the folder's name tells the letter.
-- Without dictionaries, as numbers that hardly repeat: see `export_features`.
COPY (SELECT * EXCLUDE (letter) FROM next_day_features WHERE letter = $letter ORDER BY "Symbol", "Date")
TO $path (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 1,
    PARQUET_VERSION v2,
    DICTIONARY_SIZE_LIMIT 1000,
    KV_METADATA {made_from: $made_from}
);
