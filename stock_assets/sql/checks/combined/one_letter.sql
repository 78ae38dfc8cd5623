-- Offenders: symbols whose rows are not all in the one letter that is theirs: the symbol's first letter, or 0.
SELECT "Symbol", letter, counted.n AS in_combined, described."rows" AS in_symbols
FROM (SELECT letter, "Symbol", count(*) AS n FROM combined GROUP BY ALL) AS counted
FULL JOIN symbols AS described USING (letter, "Symbol")
WHERE
    counted.n IS DISTINCT FROM described."rows"
    OR letter <> CASE WHEN regexp_matches("Symbol", '^[A-Za-z]') THEN upper("Symbol"[1]) ELSE '0' END
ORDER BY "Symbol", letter;
