-- `features` of one letter ($letter) to a Parquet file ($path); the folder's name tells the letter.
COPY (SELECT * EXCLUDE (letter) FROM features WHERE letter = $letter ORDER BY "Symbol", "Date")
TO $path (FORMAT parquet, COMPRESSION zstd);
