-- The published database ($database) beside the one that takes its place.
ATTACH $database AS before (READ_ONLY);
