-- Nothing: FTS5 has the rows of each word in their order. PostgreSQL needs a table for it.
SELECT 1;
