-- Every raw file of the snapshot, as its manifest ($manifest, a path) describes it; counts come later.
-- Grain: one row per file.
CREATE OR REPLACE TABLE source_files AS
SELECT
    file,
    symbol AS "Symbol",
    letter,
    security_name AS "Security Name",
    "size",
    sha256,
    "rows",
    fault,
    fingerprint,
    CAST(NULL AS BIGINT) AS rows_kept,
    CAST(NULL AS BIGINT) AS rows_quarantined
FROM (
    SELECT unnest(files, recursive := true)
    FROM read_json(
        $manifest,
        columns = {
            'files': 'STRUCT(file VARCHAR, symbol VARCHAR, letter VARCHAR, security_name VARCHAR, "size" BIGINT, sha256 VARCHAR, "rows" BIGINT, fault VARCHAR, fingerprint VARCHAR)[]'
        },
        maximum_object_size = 67108864 -- 200,000 files; DuckDB reserves twice as much
    )
)
ORDER BY letter, symbol, file;
