-- The catalogue: categories, what a course is about and who may see it, and searching it.

CREATE TABLE categories (
  id          BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  name        TEXT    NOT NULL UNIQUE,
  description TEXT    NOT NULL,
  position    INTEGER NOT NULL                       -- in the list
) STRICT, WITHOUT ROWID;
INSERT INTO categories (id, name, description, position) VALUES
  (unhex('019aa0000000700080000000000000a1'), 'Programming', 'Languages, tools and the craft of software', 0),
  (unhex('019aa0000000700080000000000000a2'), 'Data Science', 'Statistics, machine learning and what data tells', 1),
  (unhex('019aa0000000700080000000000000a3'), 'Mathematics', 'From arithmetic to proofs', 2),
  (unhex('019aa0000000700080000000000000a4'), 'Science', 'Physics, chemistry, biology and the world around us', 3),
  (unhex('019aa0000000700080000000000000a5'), 'Business', 'Founding, leading, selling and accounting', 4),
  (unhex('019aa0000000700080000000000000a6'), 'Design', 'Graphics, interfaces and products', 5),
  (unhex('019aa0000000700080000000000000a7'), 'Languages', 'Speaking and writing in other tongues', 6),
  (unhex('019aa0000000700080000000000000a8'), 'Music', 'Instruments, theory and production', 7),
  (unhex('019aa0000000700080000000000000a9'), 'Health', 'Body, mind and food', 8),
  (unhex('019aa0000000700080000000000000aa'), 'Other', 'Everything else', 9);

ALTER TABLE courses ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE courses ADD COLUMN category_id BLOB REFERENCES categories (id);
-- Of a deleted course the row stays, for its sessions and their receipts.
ALTER TABLE courses ADD COLUMN status TEXT NOT NULL DEFAULT 'published'
  CHECK (status IN ('draft', 'published', 'archived', 'deleted'));

DROP INDEX courses_of_teacher;
CREATE INDEX courses_of_teacher ON courses (teacher_id, id);
CREATE INDEX courses_published ON courses (id) WHERE status = 'published';
CREATE INDEX courses_of_category ON courses (category_id, id) WHERE status = 'published';
CREATE INDEX courses_by_price ON courses (currency, price_per_minute, id) WHERE status = 'published';

-- The words of each course, found by its number: full-text search knows rows by nothing else.
CREATE TABLE course_numbers (
  number    INTEGER NOT NULL PRIMARY KEY,
  course_id BLOB    NOT NULL UNIQUE REFERENCES courses (id)
) STRICT;
CREATE VIRTUAL TABLE course_words USING fts5(
  title, description, content = '', contentless_delete = 1, prefix = '2 3',
  tokenize = 'unicode61 remove_diacritics 0'
);
CREATE TRIGGER courses_inserted AFTER INSERT ON courses BEGIN
  INSERT INTO course_numbers (course_id) VALUES (new.id);
  INSERT INTO course_words (rowid, title, description)
    VALUES ((SELECT number FROM course_numbers WHERE course_id = new.id), new.title, new.description);
END;
CREATE TRIGGER courses_updated AFTER UPDATE OF title, description ON courses BEGIN
  UPDATE course_words SET title = new.title, description = new.description
   WHERE rowid = (SELECT number FROM course_numbers WHERE course_id = new.id);
END;
INSERT INTO course_numbers (course_id) SELECT id FROM courses ORDER BY id;
INSERT INTO course_words (rowid, title, description)
  SELECT n.number, c.title, c.description FROM course_numbers n JOIN courses c ON c.id = n.course_id;
