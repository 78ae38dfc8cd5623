-- Why staged lines are not loaded, by their place in `staged`. Of several sound lines with one date the last is kept:
-- downloaders append a day's final figures below its first ones. A market cap of 0 is one that was not known.
-- Grain: one row per rejected line.
CREATE OR REPLACE TEMP TABLE rejected AS
WITH faults AS (
    SELECT
        rowid AS place,
        "Symbol",
        date,
        CASE
            WHEN date IS NULL THEN 'missing date'
            -- DuckDB reads the words epoch and infinity as this day.
            WHEN date <= DATE '1970-01-01' THEN 'date is not after 1970-01-01'
            WHEN price IS NULL OR volume IS NULL OR marketCap IS NULL
                THEN 'missing ' || concat_ws(
                    ', ',
                    CASE WHEN price IS NULL THEN 'price' END,
                    CASE WHEN volume IS NULL THEN 'volume' END,
                    CASE WHEN marketCap IS NULL THEN 'marketCap' END
                )
            WHEN NOT (isfinite(price) AND isfinite(volume) AND isfinite(marketCap)) THEN 'not a finite number'
            WHEN price <= 0 THEN 'price is not above 0'
            WHEN volume < 0 THEN 'negative volume'
            WHEN marketCap < 0 THEN 'negative marketCap'
        END AS reason
    FROM staged
),
repeated AS (
    SELECT "Symbol", date, max(place) AS last_place
    FROM faults
    WHERE reason IS NULL
    GROUP BY "Symbol", date
    HAVING count(*) > 1
)
SELECT place, reason FROM faults WHERE reason IS NOT NULL
UNION ALL
SELECT place, 'duplicate date, a later line has it too'
FROM faults JOIN repeated USING ("Symbol", date)
WHERE reason IS NULL AND place < last_place;
