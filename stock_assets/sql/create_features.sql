-- The feature table: prices with the two 30-row windows, both NULL on a symbol's first 29 rows.
-- A view, so that it always fits `combined`; a filter on letter or "Symbol" is applied before the windows.
-- Grain: one row per Symbol and Date.
CREATE OR REPLACE VIEW features AS
SELECT
    "Symbol",
    "Security Name",
    "Date",
    "Open",
    "High",
    "Low",
    "Close",
    "Adj Close",
    "Volume",
    CASE WHEN row_number() OVER history >= 30 THEN avg("Volume") OVER last_30_rows END AS vol_moving_avg,
    CASE WHEN row_number() OVER history >= 30 THEN median("Adj Close") OVER last_30_rows END AS adj_close_rolling_med,
    letter
FROM combined
WINDOW
    history AS (PARTITION BY letter, "Symbol" ORDER BY "Date"),
    last_30_rows AS (PARTITION BY letter, "Symbol" ORDER BY "Date" ROWS BETWEEN 29 PRECEDING AND CURRENT ROW);
