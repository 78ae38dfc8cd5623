-- Every raw file that the tables were made of, and its fingerprint. Grain: one row per file.
SELECT file, fingerprint FROM source_files;
