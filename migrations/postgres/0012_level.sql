-- Whom a course is for. Nothing is said of those that are there: they are for everybody.
ALTER TABLE courses ADD COLUMN level TEXT
  CHECK (level IN ('beginner', 'intermediate', 'advanced'));
