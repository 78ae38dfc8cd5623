-- Frees the space of deleted rows, so that new ones take it and the file does not grow with every refresh.
CHECKPOINT;
