-- What the checks of `combined` found when it was published, for the next publication to say what changed.
-- offenders and total are in the check's own unit: rows, symbols, files or columns. Grain: one row per check.
CREATE TABLE IF NOT EXISTS quality (
    "check" VARCHAR PRIMARY KEY,
    offenders BIGINT NOT NULL,
    total BIGINT NOT NULL
);
