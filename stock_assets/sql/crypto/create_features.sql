-- What is known of an asset at a day's close, and what came the day after: only the row and rows before it are looked
-- at, but for `next_price`. Grain: one row per asset and date.
-- rsi: Wilder's relative strength index over 14 changes (New Concepts in Technical Trading Systems, 1978): the first
-- averages of gains and losses are plain means, each later one is (13 * the one before + now) / 14; 50 where nothing
-- moved at all. return_*: log return over so many rows; return_1_before: that of the row before. price_to_mean_*,
-- volume_to_mean_30: log of the row's own over the mean of so many rows, it among them. deviation_30: standard deviation
-- of return_1 over 30 rows. All are NULL until their rows are there. next_price, next_return: NULL where the day after
-- has no row.
CREATE OR REPLACE VIEW crypto_features AS
WITH RECURSIVE daily AS (
    SELECT
        *,
        row_number() OVER history AS place,
        price - lag(price) OVER history AS change,
        ln(price / lag(price) OVER history) AS return_1,
        CASE WHEN lead(date) OVER history = date + 1 THEN lead(price) OVER history END AS next_price
    FROM crypto_prices
    WINDOW history AS (PARTITION BY asset ORDER BY date)
),
smoothed AS (
    SELECT asset, 15 AS place, avg(greatest(change, 0)) AS gain, avg(greatest(-change, 0)) AS loss
    FROM daily
    WHERE place BETWEEN 2 AND 15
    GROUP BY asset
    HAVING count(*) = 14
    UNION ALL
    SELECT asset, daily.place, (13 * gain + greatest(change, 0)) / 14, (13 * loss + greatest(-change, 0)) / 14
    FROM smoothed
    JOIN daily USING (asset)
    WHERE daily.place = smoothed.place + 1
),
windows AS (
    SELECT
        *,
        lag(return_1) OVER history AS return_1_before,
        ln(price / lag(price, 7) OVER history) AS return_7,
        ln(price / lag(price, 30) OVER history) AS return_30,
        CASE WHEN place >= 7 THEN ln(price / avg(price) OVER last_7) END AS price_to_mean_7,
        CASE WHEN place >= 30 THEN ln(price / avg(price) OVER last_30) END AS price_to_mean_30,
        CASE WHEN place >= 30 AND volume > 0 THEN ln(volume / avg(volume) OVER last_30) END AS volume_to_mean_30,
        CASE WHEN place > 30 THEN stddev_samp(return_1) OVER last_30 END AS deviation_30
    FROM daily
    WINDOW
        history AS (PARTITION BY asset ORDER BY date),
        last_7 AS (PARTITION BY asset ORDER BY date ROWS 6 PRECEDING),
        last_30 AS (PARTITION BY asset ORDER BY date ROWS 29 PRECEDING)
)
SELECT
    asset,
    date,
    price,
    volume,
    marketCap,
    CASE WHEN gain + loss > 0 THEN 100 * gain / (gain + loss) WHEN gain = 0 THEN 50 END AS rsi,
    return_1,
    return_1_before,
    return_7,
    return_30,
    price_to_mean_7,
    price_to_mean_30,
    volume_to_mean_30,
    deviation_30,
    next_price,
    ln(next_price / price) AS next_return
FROM windows
LEFT JOIN smoothed USING (asset, place);
