-- What was not loaded, and why. Grain: one row per rejected line, or per rejected file (line and Date NULL).
-- "rows" is how many lines of the source the entry stands for: 1, or all of a rejected file.
CREATE TABLE IF NOT EXISTS quarantine (
    file VARCHAR NOT NULL,
    line BIGINT,
    "Symbol" VARCHAR NOT NULL,
    "Date" DATE,
    reason VARCHAR NOT NULL,
    content VARCHAR,
    "rows" BIGINT NOT NULL
);
