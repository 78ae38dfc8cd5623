-- What each check found when the tables were published last. Grain: one row per check.
SELECT "check", offenders FROM quality;
