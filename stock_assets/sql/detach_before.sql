-- The published database is let go.
DETACH before;
