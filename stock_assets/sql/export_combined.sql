-- `combined` of one letter ($letter) to a Parquet file ($path); the folder's name tells the letter.
-- Dictionaries of prices cost time and space: a column with many values gets the encodings of Parquet 2 instead.
COPY (SELECT * EXCLUDE (letter) FROM combined WHERE letter = $letter ORDER BY "Symbol", "Date")
TO $path (
    FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 1000, KV_METADATA {made_from: $made_from}
);
