-- Rows of each letter's Parquet file ($files). Grain: one row per file.
SELECT regexp_extract(file_name, 'letter=(.)/[^/]*$', 1) AS letter, num_rows FROM parquet_file_metadata($files);
