-- The symbols whose file has another content than the one that the published database, attached as `before`, was made
-- of, or is no longer there. rows_now are their rows in `combined`. Grain: one row per symbol.
CREATE OR REPLACE TEMP TABLE compared AS
SELECT old."Symbol", old.letter, coalesce(new.rows_kept, 0) AS rows_now
FROM before.source_files AS old
LEFT JOIN source_files AS new ON new."Symbol" = old."Symbol" AND new.fault IS NULL
WHERE old.fault IS NULL AND old.sha256 IS DISTINCT FROM new.sha256;
