-- The symbols with most restated rows, for a look in the UI, each as one STRUCT. Grain: one row per symbol.
SELECT entry
FROM (SELECT * EXCLUDE (letter, snapshot_before, snapshot) FROM restatements) AS entry
ORDER BY rows_changed + rows_removed DESC, "Symbol"
LIMIT 20;
