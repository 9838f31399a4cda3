-- Forgets whom courses are for.
ALTER TABLE courses DROP COLUMN level;
