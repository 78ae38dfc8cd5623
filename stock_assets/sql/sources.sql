-- What each letter of `combined` is made of. Grain: one row per symbol that has rows.
SELECT letter, "Symbol", fingerprint FROM source_files WHERE rows_kept > 0 ORDER BY letter, "Symbol";
