-- The letters that have anything to compare. Grain: one row per letter.
SELECT DISTINCT letter FROM compared ORDER BY letter;
