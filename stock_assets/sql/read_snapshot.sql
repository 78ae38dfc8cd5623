-- Which snapshot the tables were made of. Grain: one row.
SELECT version, data_version, recipe FROM snapshot;
