-- Fill `combined` on a worker, which has no database, from the published file ($path) of one letter ($letter), with some
-- symbols ($symbols) of it, or with all where that is NULL. A table, as its columns that lack no value are told apart.
INSERT INTO combined
SELECT *, $letter FROM read_parquet($path, hive_partitioning = false)
WHERE $symbols IS NULL OR list_contains(CAST($symbols AS VARCHAR[]), "Symbol");
