-- Offenders: places where `combined` has another column, or one of another type, than the contract ($names, $types).
SELECT place, found.name AS found, found.type AS type, wanted.name AS wanted, wanted.type AS wanted_type
FROM (
    SELECT column_index AS place, column_name AS name, data_type AS type
    FROM duckdb_columns()
    WHERE table_name = 'combined' AND database_name = current_database()
) AS found
FULL JOIN (
    SELECT unnest(range(1, len($names) + 1)) AS place, unnest($names) AS name, unnest($types) AS type
) AS wanted USING (place)
WHERE found.name IS DISTINCT FROM wanted.name OR found.type IS DISTINCT FROM wanted.type
ORDER BY place;
