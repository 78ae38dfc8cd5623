-- One symbol's generated prices, the registered arrays `history`, to a CSV file ($path). Grain: one row per Date.
COPY (SELECT * REPLACE (CAST("Date" AS DATE) AS "Date") FROM history) TO $path (FORMAT csv, HEADER);
