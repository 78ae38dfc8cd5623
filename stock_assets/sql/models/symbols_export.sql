-- The symbols of `combined` to a Parquet file ($path) that carries the version of the tables ($data_version), the kind
-- of source that they are from ($source), and both with the hash of this statement ($made_from).
-- Grain: one row per Symbol.
COPY (
    SELECT
        "Symbol",
        "Security Name",
        starts_with(file, 'etfs/') AS is_etf,
        first_date,
        last_date,
        symbols."rows",
        letter
    FROM symbols
    JOIN source_files USING ("Symbol", letter)
    WHERE rows_kept > 0
    ORDER BY "Symbol"
)
TO $path (
    FORMAT parquet,
    COMPRESSION zstd,
    PARQUET_VERSION v2,
    KV_METADATA {data_version: $data_version, source: $source, made_from: $made_from}
);
