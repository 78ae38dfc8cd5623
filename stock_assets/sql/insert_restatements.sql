-- How the rows of one letter's ($letter) symbols in `compared` differ from those in the published database, attached
-- as `before`. Most symbols have new rows and the old ones as they were: a hash over the old ones tells it in a
-- third of the time of the join, which is left for the symbols that differ.
-- Grain: one row per symbol that has changed or removed rows.
INSERT INTO restatements
WITH old_digests AS (
    SELECT
        "Symbol",
        max("Date") AS last_date,
        count(*) AS n,
        bit_xor(hash("Date", "Open", "High", "Low", "Close", "Adj Close", "Volume")) AS digest
    FROM before.combined
    WHERE letter = $letter AND "Symbol" IN (SELECT "Symbol" FROM compared)
    GROUP BY "Symbol"
),
new_digests AS (
    SELECT
        "Symbol",
        count(*) AS n,
        bit_xor(hash("Date", "Open", "High", "Low", "Close", "Adj Close", "Volume")) AS digest
    FROM combined
    JOIN old_digests USING ("Symbol")
    WHERE letter = $letter AND "Date" <= last_date
    GROUP BY "Symbol"
),
differing AS (
    SELECT "Symbol", old_digests.n AS rows_before FROM old_digests ANTI JOIN new_digests USING ("Symbol", n, digest)
),
old AS (
    FROM before.combined WHERE letter = $letter AND "Symbol" IN (SELECT "Symbol" FROM differing)
),
new AS (
    FROM combined WHERE letter = $letter AND "Symbol" IN (SELECT "Symbol" FROM differing)
),
restated AS (
    SELECT
        "Symbol",
        "Date",
        new."Volume" IS NULL AS removed,
        new."Adj Close" / old."Adj Close" AS adj_close_ratio,
        new."Close" / old."Close" AS close_ratio,
        new."Volume" / old."Volume" AS volume_ratio
    FROM old
    LEFT JOIN new USING ("Symbol", "Date")
    WHERE
        old."Open" IS DISTINCT FROM new."Open"
        OR old."High" IS DISTINCT FROM new."High"
        OR old."Low" IS DISTINCT FROM new."Low"
        OR old."Close" IS DISTINCT FROM new."Close"
        OR old."Adj Close" IS DISTINCT FROM new."Adj Close"
        OR old."Volume" IS DISTINCT FROM new."Volume"
),
by_symbol AS (
    SELECT
        "Symbol",
        count(*) FILTER (NOT removed) AS rows_changed,
        count(*) FILTER (removed) AS rows_removed,
        min("Date") AS first_changed,
        max("Date") AS last_changed,
        median(adj_close_ratio) FILTER (isfinite(adj_close_ratio)) AS adj_close_ratio,
        min(adj_close_ratio) FILTER (isfinite(adj_close_ratio)) AS adj_close_ratio_min,
        max(adj_close_ratio) FILTER (isfinite(adj_close_ratio)) AS adj_close_ratio_max,
        median(close_ratio) FILTER (isfinite(close_ratio)) AS close_ratio,
        median(volume_ratio) FILTER (isfinite(volume_ratio)) AS volume_ratio
    FROM restated
    GROUP BY "Symbol"
)
SELECT
    "Symbol",
    $letter AS letter,
    (SELECT version FROM before.snapshot) AS snapshot_before,
    (SELECT version FROM snapshot) AS snapshot,
    rows_before,
    rows_changed,
    rows_removed,
    rows_now - (rows_before - rows_removed) AS rows_added,
    COLUMNS(by_symbol.* EXCLUDE ("Symbol", rows_changed, rows_removed))
FROM by_symbol
JOIN differing USING ("Symbol")
JOIN compared USING ("Symbol")
ORDER BY "Symbol";
