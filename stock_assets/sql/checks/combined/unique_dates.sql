-- Offenders: symbols that have a date more than once, with the number of rows too many.
SELECT letter, "Symbol", repeated_dates AS "rows" FROM symbols WHERE repeated_dates > 0 ORDER BY "Symbol";
