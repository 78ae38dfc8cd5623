-- Describes the symbols ($symbols) of one letter ($letter) whose rows were just inserted.
INSERT INTO symbols BY NAME
SELECT * EXCLUDE (gap), gap_to - CAST(gap AS INTEGER) AS gap_from
FROM (
    SELECT
        letter,
        "Symbol",
        count(*) AS "rows",
        min("Date") AS first_date,
        max("Date") AS last_date,
        count(*) FILTER ("Volume" = 0) AS zero_volumes,
        count(*) FILTER (
            least("Close", "Adj Close") <= 0
            OR least("Open", "High", "Low") < 0
            OR greatest("Open", "High", "Low", "Close", "Adj Close") > 1e6
        ) AS bad_prices,
        count(*) FILTER ("High" < "Low" AND "High" <> 0) AS high_below_low
    FROM combined
    WHERE letter = $letter AND "Symbol" IN (SELECT unnest($symbols))
    GROUP BY ALL
)
JOIN (
    SELECT
        "Symbol",
        count(*) FILTER (gap = 0) AS repeated_dates,
        max(gap) AS gap,
        -- Of several gaps as long the last one, always.
        arg_max("Date", gap * 1000000 + datediff('day', DATE '1900-01-01', "Date")) AS gap_to
    FROM (
        SELECT "Symbol", "Date", "Date" - lag("Date") OVER (PARTITION BY "Symbol" ORDER BY "Date") AS gap
        FROM combined
        WHERE letter = $letter AND "Symbol" IN (SELECT unnest($symbols))
    )
    GROUP BY "Symbol"
) USING ("Symbol")
ORDER BY "Symbol";
