-- Offenders: places where a Parquet file ($files) has another column, or one of another type, than the contract
-- ($names, $types).
WITH found AS (
    SELECT regexp_extract(file_name, 'letter=(.)/[^/]*$', 1) AS letter, column_id AS place, name, duckdb_type AS type
    FROM parquet_schema($files)
    WHERE column_id > 0
),
wanted AS (
    SELECT letter, unnest(range(1, len($names) + 1)) AS place, unnest($names) AS name, unnest($types) AS type
    FROM (SELECT DISTINCT letter FROM found)
)
SELECT letter, place, found.name AS found, found.type AS type, wanted.name AS wanted, wanted.type AS wanted_type
FROM found
FULL JOIN wanted USING (letter, place)
WHERE found.name IS DISTINCT FROM wanted.name OR found.type IS DISTINCT FROM wanted.type
ORDER BY letter, place;
