-- What the last publication changed of rows that were there before it: prices restated for later dividends and
-- splits, corrections, and rows that are gone. New rows alone are no restatement.
-- Grain: one row per symbol that has changed or removed rows. A symbol without a file has all its rows removed.
-- rows_before = unchanged rows + rows_changed + rows_removed; a row is changed if any of its six values is.
-- first_changed and last_changed are of changed and removed rows. Each ratio is new / old over the changed rows
-- whose old value is not 0, as a median; NULL without such rows. Where one factor explains the changes of Adj Close,
-- adj_close_ratio_min and adj_close_ratio_max are the same but for rounding.
CREATE OR REPLACE TABLE restatements (
    "Symbol" VARCHAR NOT NULL,
    letter VARCHAR NOT NULL,
    snapshot_before VARCHAR NOT NULL,
    snapshot VARCHAR NOT NULL,
    rows_before BIGINT NOT NULL,
    rows_changed BIGINT NOT NULL,
    rows_removed BIGINT NOT NULL,
    rows_added BIGINT NOT NULL,
    first_changed DATE NOT NULL,
    last_changed DATE NOT NULL,
    adj_close_ratio DOUBLE,
    adj_close_ratio_min DOUBLE,
    adj_close_ratio_max DOUBLE,
    close_ratio DOUBLE,
    volume_ratio DOUBLE
);
