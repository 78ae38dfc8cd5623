-- The lines of some price files ($paths), in their order, with explicit types: Volume is DOUBLE because a
-- file with a blank row writes it as 123.0. Lines that do not parse go to DuckDB's reject tables.
-- Grain: one row per line that parses.
CREATE OR REPLACE TEMP TABLE staged AS
SELECT parse_filename(filename, true) AS "Symbol", *
FROM read_csv(
    $paths,
    columns = {
        'Date': 'DATE',
        'Open': 'DOUBLE',
        'High': 'DOUBLE',
        'Low': 'DOUBLE',
        'Close': 'DOUBLE',
        'Adj Close': 'DOUBLE',
        'Volume': 'DOUBLE'
    },
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
