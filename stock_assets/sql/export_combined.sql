-- `combined` of one letter ($letter) to a Parquet file ($path); the folder's name tells the letter.
COPY (SELECT * EXCLUDE (letter) FROM combined WHERE letter = $letter)
TO $path (FORMAT parquet, COMPRESSION zstd);
