-- A row of no letter and without a name, where `combined` as a whole has nameless ones: a Parquet file says of each column
-- whether it may lack values, and that of a letter says it as if all were there.
INSERT INTO combined SELECT * REPLACE (NULL AS "Security Name", '' AS letter) FROM combined LIMIT 1;
