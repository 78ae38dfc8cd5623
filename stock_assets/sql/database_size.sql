-- How many bytes the blocks in use take; the file has some more. A file with fewer has lost its end, which DuckDB
-- notices only when it comes to read there. (total_blocks would count blocks that were cut off when they became free.)
-- Grain: one row.
SELECT block_size * used_blocks FROM pragma_database_size();
