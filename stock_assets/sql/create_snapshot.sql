-- Which snapshot the tables were made of: its version ($version), the version of the tables themselves
-- ($data_version), and a hash of the statements that made them ($recipe). Grain: one row.
CREATE OR REPLACE TABLE snapshot AS
SELECT $version AS version, $data_version AS data_version, $recipe AS recipe;
