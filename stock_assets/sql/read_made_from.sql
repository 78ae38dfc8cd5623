-- What a Parquet file ($path) says that it was made of. Grain: at most one row.
SELECT decode("value") FROM parquet_kv_metadata($path) WHERE decode("key") = 'made_from';
