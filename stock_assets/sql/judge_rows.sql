-- Why staged lines are not loaded, by their place in `staged`. Of several sound lines with one date the last
-- is kept: downloaders append a day's final figures below its first ones.
-- Grain: one row per rejected line.
CREATE OR REPLACE TEMP TABLE rejected AS
WITH faults AS (
    SELECT
        rowid AS place,
        "Symbol",
        "Date",
        CASE
            WHEN "Date" IS NULL THEN 'missing Date'
            -- DuckDB reads the words epoch and infinity as this day.
            WHEN "Date" <= DATE '1900-01-01' THEN 'Date is not after 1900-01-01'
            WHEN
                "Open" IS NULL OR "High" IS NULL OR "Low" IS NULL OR "Close" IS NULL
                OR "Adj Close" IS NULL OR "Volume" IS NULL
                THEN 'missing ' || concat_ws(
                    ', ',
                    CASE WHEN "Open" IS NULL THEN 'Open' END,
                    CASE WHEN "High" IS NULL THEN 'High' END,
                    CASE WHEN "Low" IS NULL THEN 'Low' END,
                    CASE WHEN "Close" IS NULL THEN 'Close' END,
                    CASE WHEN "Adj Close" IS NULL THEN 'Adj Close' END,
                    CASE WHEN "Volume" IS NULL THEN 'Volume' END
                )
            WHEN NOT (
                isfinite("Open") AND isfinite("High") AND isfinite("Low") AND isfinite("Close")
                AND isfinite("Adj Close") AND isfinite("Volume")
            ) THEN 'not a finite number'
            WHEN "Volume" < 0 THEN 'negative Volume'
            WHEN "Volume" <> trunc("Volume") OR "Volume" >= 9223372036854775807.0
                THEN 'Volume is not a whole number of shares'
        END AS reason
    FROM staged
),
repeated AS (
    SELECT "Symbol", "Date", max(place) AS last_place
    FROM faults
    WHERE reason IS NULL
    GROUP BY "Symbol", "Date"
    HAVING count(*) > 1
)
SELECT place, reason FROM faults WHERE reason IS NOT NULL
UNION ALL
SELECT place, 'duplicate Date, a later line has it too'
FROM faults JOIN repeated USING ("Symbol", "Date")
WHERE reason IS NULL AND place < last_place;
