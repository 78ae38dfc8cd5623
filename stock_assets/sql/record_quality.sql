-- What each of the checks ($checks) found now ($offenders) of how many ($totals), in place of what it found before.
INSERT OR REPLACE INTO quality SELECT unnest($checks), unnest($offenders), unnest($totals);
