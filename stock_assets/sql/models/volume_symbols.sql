-- The symbols of `combined` by the hash that models/volume_rows gives, with their letter and whether they are ETFs.
-- Grain: one row per Symbol.
SELECT hash("Symbol") AS symbol, letter, starts_with(file, 'etfs/') AS is_etf
FROM source_files
WHERE rows_kept > 0;
