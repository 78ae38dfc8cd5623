-- The lines of some crypto price files ($paths), in their order, with explicit types. Lines that do not parse go to
-- DuckDB's reject tables. Grain: one row per line that parses.
CREATE OR REPLACE TEMP TABLE staged AS
SELECT parse_filename(filename, true) AS "Symbol", *
FROM read_csv(
    $paths,
    columns = {'date': 'DATE', 'price': 'DOUBLE', 'volume': 'DOUBLE', 'marketCap': 'DOUBLE'},
    auto_detect = false,
    header = true,
    delim = ',',
    quote = '',
    escape = '',
    nullstr = '',
    dateformat = '%Y-%m-%d',
    store_rejects = true,
    hive_partitioning = false -- a folder named date=2020-04-01 would replace the column
);
