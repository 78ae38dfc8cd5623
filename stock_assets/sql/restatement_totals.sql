-- What the last publication restated: between which snapshots, how much, from which date on. Grain: one row.
SELECT
    any_value(snapshot_before) AS snapshot_before,
    any_value(snapshot) AS snapshot,
    count(*) AS symbols,
    coalesce(sum(rows_changed), 0)::BIGINT AS rows_changed,
    coalesce(sum(rows_removed), 0)::BIGINT AS rows_removed,
    min(first_changed) AS first_changed
FROM restatements;
