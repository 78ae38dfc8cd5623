-- The symbols with most restated rows, for a look in the UI, each as one STRUCT. Grain: one row per symbol.
SELECT entry
FROM (
    SELECT
        "Symbol",
        round(adj_close_ratio, 6) AS adj_close_ratio,
        round(adj_close_ratio_min, 6) AS "min",
        round(adj_close_ratio_max, 6) AS "max",
        rows_changed,
        rows_removed,
        first_changed,
        last_changed
    FROM restatements
) AS entry
ORDER BY rows_changed + rows_removed DESC, "Symbol"
LIMIT 20;
