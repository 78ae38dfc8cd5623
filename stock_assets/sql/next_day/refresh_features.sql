-- `next_day/export_features` where the present file ($present) has the rows of some symbols ($kept) as they should be:
-- windows are computed for the others ($changed) only.
COPY (
    SELECT * EXCLUDE (letter) FROM next_day_features WHERE letter = $letter AND list_contains($changed, "Symbol")
    UNION ALL BY NAME
    SELECT * FROM read_parquet($present, hive_partitioning = false) WHERE "Symbol" IN (SELECT unnest($kept))
    ORDER BY "Symbol", "Date"
)
TO $path (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 1,
    PARQUET_VERSION v2,
    DICTIONARY_SIZE_LIMIT 1000,
    KV_METADATA {made_from: $made_from}
);
