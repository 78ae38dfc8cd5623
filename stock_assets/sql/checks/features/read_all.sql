-- Reads all of a Parquet file ($file), which fails where it is damaged. Grain: one row.
SELECT bit_xor(hash(prices)) FROM read_parquet($file, hive_partitioning = false) AS prices;
