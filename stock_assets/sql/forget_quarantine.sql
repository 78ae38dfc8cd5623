-- What was quarantined of changed or removed files ($files) goes.
DELETE FROM quarantine WHERE file IN (SELECT unnest($files));
