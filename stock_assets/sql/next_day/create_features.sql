-- What is known of a symbol's volume and prices at a day's close, for a forecast of its next trading day: only the row
-- and rows before it are looked at. A view, so that it always fits `combined`; filters on letter or "Symbol" are
-- applied before the windows. Grain: one row per Symbol and Date.
-- history: the symbol's rows up to this one. mean_*: shares a day over so many rows. log_mean_20: the mean of
-- ln(1 + Volume) over 20 rows. lag_*, same_weekday, ewma, level_*, mean_level_*, lowest_*, highest_*: logarithms of
-- volumes as differences to log_mean_20, so that one model serves symbols of every size; ewma weighs the last ten rows
-- with 0.4 * 0.6^k. quarter_ago* and year_ago*: the rows around the day that the next one repeats, as differences to
-- their own neighbourhood, for what comes with each report of earnings. move: log return of the adjusted close. span:
-- ln(High / Low).
CREATE OR REPLACE TEMP VIEW next_day_features AS
WITH daily AS (
    SELECT
        letter,
        "Symbol",
        "Date",
        "Volume",
        row_number() OVER history AS history,
        ln(1 + "Volume") AS log_volume,
        CASE WHEN "Close" > 0 THEN ln("Close") END AS log_price,
        CASE WHEN "Adj Close" > 0 THEN ln("Adj Close") END AS log_adjusted,
        log_adjusted - lag(log_adjusted) OVER history AS move,
        CASE WHEN "Low" > 0 AND "High" >= "Low" THEN ln("High" / "Low") END AS span,
        CASE WHEN "Open" > 0 THEN ln("Open") END - lag(log_price) OVER history AS gap,
        CASE WHEN "High" > "Low" THEN ("Close" - "Low") / ("High" - "Low") END AS close_in_range
    FROM combined
    WINDOW history AS (PARTITION BY letter, "Symbol" ORDER BY "Date")
),
windows AS (
    SELECT
        *,
        avg("Volume") OVER last_5 AS mean_5,
        avg("Volume") OVER last_20 AS mean_20,
        avg("Volume") OVER last_30 AS mean_30,
        avg(log_volume) OVER last_20 AS log_mean_20,
        avg(log_volume) OVER last_60 AS log_mean_60,
        avg(log_volume) OVER last_250 AS log_mean_250,
        stddev_pop(log_volume) OVER last_20 AS deviation_20,
        stddev_pop(log_volume) OVER last_60 AS deviation_60,
        min(log_volume) OVER last_20 AS min_20,
        max(log_volume) OVER last_20 AS max_20,
        lag(log_volume, 1) OVER history AS log_volume_1,
        lag(log_volume, 2) OVER history AS log_volume_2,
        lag(log_volume, 3) OVER history AS log_volume_3,
        lag(log_volume, 4) OVER history AS log_volume_4,
        lag(log_volume, 5) OVER history AS log_volume_5,
        lag(log_volume, 6) OVER history AS log_volume_6,
        lag(log_volume, 7) OVER history AS log_volume_7,
        lag(log_volume, 8) OVER history AS log_volume_8,
        lag(log_volume, 9) OVER history AS log_volume_9,
        lag(log_volume, 14) OVER history AS log_volume_14,
        lag(log_volume, 19) OVER history AS log_volume_19,
        lag(log_volume, 62) OVER history AS log_volume_62,
        lag(log_volume, 251) OVER history AS log_volume_251,
        avg(log_volume) OVER a_quarter_ago AS quarter_mean,
        max(log_volume) OVER a_quarter_ago AS quarter_max,
        avg(log_volume) OVER around_a_quarter_ago AS quarter_level,
        avg(log_volume) OVER a_year_ago AS year_mean,
        max(log_volume) OVER a_year_ago AS year_max,
        avg(log_volume) OVER around_a_year_ago AS year_level,
        avg(CAST("Volume" = 0 AS INTEGER)) OVER last_20 AS zero_share_20,
        avg(CAST("Volume" = 0 AS INTEGER)) OVER last_60 AS zero_share_60,
        lag(abs(move)) OVER history AS move_abs_lag_1,
        avg(abs(move)) OVER last_5 AS move_abs_5,
        avg(abs(move)) OVER last_20 AS move_abs_20,
        log_adjusted - lag(log_adjusted, 5) OVER history AS move_5,
        log_adjusted - lag(log_adjusted, 20) OVER history AS move_20,
        lag(span) OVER history AS span_lag_1,
        avg(span) OVER last_5 AS span_5,
        avg(span) OVER last_20 AS span_20,
        max(log_adjusted) OVER last_250 AS highest_price,
        min(log_adjusted) OVER last_250 AS lowest_price
    FROM daily
    WINDOW
        history AS (PARTITION BY letter, "Symbol" ORDER BY "Date"),
        last_5 AS (PARTITION BY letter, "Symbol" ORDER BY "Date" ROWS 4 PRECEDING),
        last_20 AS (PARTITION BY letter, "Symbol" ORDER BY "Date" ROWS 19 PRECEDING),
        last_30 AS (PARTITION BY letter, "Symbol" ORDER BY "Date" ROWS 29 PRECEDING),
        last_60 AS (PARTITION BY letter, "Symbol" ORDER BY "Date" ROWS 59 PRECEDING),
        last_250 AS (PARTITION BY letter, "Symbol" ORDER BY "Date" ROWS 249 PRECEDING),
        a_quarter_ago AS (PARTITION BY letter, "Symbol" ORDER BY "Date" ROWS BETWEEN 64 PRECEDING AND 60 PRECEDING),
        around_a_quarter_ago AS (
            PARTITION BY letter, "Symbol" ORDER BY "Date" ROWS BETWEEN 80 PRECEDING AND 45 PRECEDING
        ),
        a_year_ago AS (PARTITION BY letter, "Symbol" ORDER BY "Date" ROWS BETWEEN 253 PRECEDING AND 249 PRECEDING),
        around_a_year_ago AS (
            PARTITION BY letter, "Symbol" ORDER BY "Date" ROWS BETWEEN 270 PRECEDING AND 232 PRECEDING
        )
),
inputs AS (
    SELECT
        letter,
        "Symbol",
        "Date",
        "Volume",
        history,
        mean_5,
        mean_20,
        mean_30,
        log_mean_20,
        log_volume - log_mean_20 AS lag_0,
        log_volume_1 - log_mean_20 AS lag_1,
        log_volume_2 - log_mean_20 AS lag_2,
        log_volume_3 - log_mean_20 AS lag_3,
        log_volume_4 - log_mean_20 AS lag_4,
        log_volume_5 - log_mean_20 AS lag_5,
        log_volume_6 - log_mean_20 AS lag_6,
        log_volume_7 - log_mean_20 AS lag_7,
        log_volume_8 - log_mean_20 AS lag_8,
        log_volume_9 - log_mean_20 AS lag_9,
        log_volume_14 - log_mean_20 AS lag_14,
        log_volume_19 - log_mean_20 AS lag_19,
        (log_volume_4 + log_volume_9 + log_volume_14 + log_volume_19) / 4 - log_mean_20 AS same_weekday,
        0.4 * (
            log_volume + 0.6 * log_volume_1 + 0.36 * log_volume_2 + 0.216 * log_volume_3 + 0.1296 * log_volume_4
            + 0.07776 * log_volume_5 + 0.046656 * log_volume_6 + 0.0279936 * log_volume_7 + 0.01679616 * log_volume_8
            + 0.010077696 * log_volume_9
        ) / (1 - 0.6 ** 10) - log_mean_20 AS ewma,
        log_volume - log_volume_1 AS change,
        (log_volume - log_mean_20) / nullif(deviation_20, 0) AS z_score,
        (log_volume + log_volume_1 + log_volume_2) / 3 - log_mean_20 AS level_3,
        (log_volume + log_volume_1 + log_volume_2 + log_volume_3 + log_volume_4) / 5 - log_mean_20 AS level_5,
        (
            log_volume + log_volume_1 + log_volume_2 + log_volume_3 + log_volume_4
            + log_volume_5 + log_volume_6 + log_volume_7 + log_volume_8 + log_volume_9
        ) / 10 - log_mean_20 AS level_10,
        log_mean_60 - log_mean_20 AS level_60,
        log_mean_250 - log_mean_20 AS level_250,
        ln(1 + mean_5) - log_mean_20 AS mean_level_5,
        ln(1 + mean_20) - log_mean_20 AS mean_level_20,
        deviation_20,
        deviation_60,
        least(log_volume, log_volume_1, log_volume_2, log_volume_3, log_volume_4) - log_mean_20 AS lowest_5,
        greatest(log_volume, log_volume_1, log_volume_2, log_volume_3, log_volume_4) - log_mean_20 AS highest_5,
        min_20 - log_mean_20 AS lowest_20,
        max_20 - log_mean_20 AS highest_20,
        log_volume_62 - quarter_level AS quarter_ago,
        quarter_mean - quarter_level AS quarter_ago_mean,
        quarter_max - quarter_level AS quarter_ago_highest,
        log_volume_251 - year_level AS year_ago,
        year_mean - year_level AS year_ago_mean,
        year_max - year_level AS year_ago_highest,
        zero_share_20,
        zero_share_60,
        move,
        abs(move) AS move_abs,
        move_abs_lag_1,
        move_abs_5,
        move_abs_20,
        abs(move) / nullif(move_abs_20, 0) AS move_abs_ratio,
        move_5,
        move_20,
        span,
        span_lag_1,
        span_5,
        span_20,
        span / nullif(span_20, 0) AS span_ratio,
        gap,
        close_in_range,
        log_adjusted - highest_price AS below_highest_price,
        log_adjusted - lowest_price AS above_lowest_price,
        log_price,
        log_price + log_mean_20 AS log_dollars,
        least(history, 1000) AS age
    FROM windows
)
SELECT
    letter,
    "Symbol",
    "Date",
    "Volume",
    CAST(history AS INTEGER) AS history,
    mean_5,
    mean_20,
    mean_30,
    CAST(
        COLUMNS(* EXCLUDE (letter, "Symbol", "Date", "Volume", history, mean_5, mean_20, mean_30)) AS FLOAT
    )
FROM inputs;
