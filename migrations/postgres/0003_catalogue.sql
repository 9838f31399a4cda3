-- The catalogue: categories, what a course is about and who may see it, and searching it.

CREATE TABLE categories (
  id          UUID   NOT NULL PRIMARY KEY,
  name        TEXT   NOT NULL UNIQUE,
  description TEXT   NOT NULL,
  position    BIGINT NOT NULL                        -- in the list
);
INSERT INTO categories (id, name, description, position) VALUES
  ('019aa0000000700080000000000000a1', 'Programming', 'Languages, tools and the craft of software', 0),
  ('019aa0000000700080000000000000a2', 'Data Science', 'Statistics, machine learning and what data tells', 1),
  ('019aa0000000700080000000000000a3', 'Mathematics', 'From arithmetic to proofs', 2),
  ('019aa0000000700080000000000000a4', 'Science', 'Physics, chemistry, biology and the world around us', 3),
  ('019aa0000000700080000000000000a5', 'Business', 'Founding, leading, selling and accounting', 4),
  ('019aa0000000700080000000000000a6', 'Design', 'Graphics, interfaces and products', 5),
  ('019aa0000000700080000000000000a7', 'Languages', 'Speaking and writing in other tongues', 6),
  ('019aa0000000700080000000000000a8', 'Music', 'Instruments, theory and production', 7),
  ('019aa0000000700080000000000000a9', 'Health', 'Body, mind and food', 8),
  ('019aa0000000700080000000000000aa', 'Other', 'Everything else', 9);

ALTER TABLE courses ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE courses ADD COLUMN category_id UUID REFERENCES categories (id);
-- Of a deleted course the row stays, for its sessions and their receipts.
ALTER TABLE courses ADD COLUMN status TEXT NOT NULL DEFAULT 'published'
  CHECK (status IN ('draft', 'published', 'archived', 'deleted'));

DROP INDEX courses_of_teacher;
CREATE INDEX courses_of_teacher ON courses (teacher_id, id);
CREATE INDEX courses_published ON courses (id) WHERE status = 'published';
CREATE INDEX courses_of_category ON courses (category_id, id) WHERE status = 'published';
CREATE INDEX courses_by_price ON courses (currency, price_per_minute, id) WHERE status = 'published';

-- The words of each course, and of its title. Apart, so that the planner knows how many courses have
-- a word in their title. No language is assumed.
ALTER TABLE courses ADD COLUMN title_words TSVECTOR NOT NULL
  GENERATED ALWAYS AS (to_tsvector('simple', title)) STORED;
ALTER TABLE courses ADD COLUMN words TSVECTOR NOT NULL
  GENERATED ALWAYS AS (to_tsvector('simple', title || ' ' || description)) STORED;
CREATE INDEX courses_by_title_words ON courses USING gin (title_words);
CREATE INDEX courses_by_words ON courses USING gin (words);
