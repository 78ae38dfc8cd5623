-- The report of one publication to a Parquet file ($path). Grain: that of `restatements`.
COPY (FROM restatements ORDER BY "Symbol") TO $path (FORMAT parquet, COMPRESSION zstd);
