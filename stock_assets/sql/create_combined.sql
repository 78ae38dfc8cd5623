-- All sound prices. Grain: one row per Symbol and Date.
CREATE TABLE IF NOT EXISTS combined (
    "Symbol" VARCHAR NOT NULL,
    "Security Name" VARCHAR,
    "Date" DATE NOT NULL,
    "Open" DOUBLE NOT NULL,
    "High" DOUBLE NOT NULL,
    "Low" DOUBLE NOT NULL,
    "Close" DOUBLE NOT NULL,
    "Adj Close" DOUBLE NOT NULL,
    "Volume" BIGINT NOT NULL,
    letter VARCHAR NOT NULL
);
