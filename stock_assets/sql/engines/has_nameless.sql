-- Whether `combined` has rows without a name. Grain: one row.
SELECT coalesce(bool_or("Security Name" IS NULL), false) AS has_nameless FROM combined;
