-- What each symbol's rows look like as a whole. Grain: one row per symbol that has rows in `combined`.
-- repeated_dates: rows that have the date of the row before. gap_from and gap_to: the longest time between two rows,
-- NULL for a single row.
-- bad_prices: rows with a close that is not above zero, a price below zero, or one above a million dollars, which is
-- more than any share has cost. A zero among Open, High and Low is no fault: that is how an unknown one is written.
CREATE TABLE IF NOT EXISTS symbols (
    letter VARCHAR NOT NULL,
    "Symbol" VARCHAR NOT NULL,
    "rows" BIGINT NOT NULL,
    first_date DATE NOT NULL,
    last_date DATE NOT NULL,
    zero_volumes BIGINT NOT NULL,
    bad_prices BIGINT NOT NULL,
    high_below_low BIGINT NOT NULL,
    repeated_dates BIGINT NOT NULL,
    gap_from DATE,
    gap_to DATE
);
