-- Offenders: symbols with rows after a day ($latest) that is over nowhere yet.
SELECT letter, "Symbol", max("Date") AS last_date, count(*) AS "rows"
FROM combined
WHERE "Date" > $latest
GROUP BY ALL
ORDER BY "Symbol";
