-- Back to words that SQLite cuts, of all courses.
DROP TRIGGER courses_inserted;
CREATE TRIGGER courses_inserted AFTER INSERT ON courses BEGIN
  INSERT INTO course_numbers (course_id) VALUES (new.id);
  INSERT INTO course_words (rowid, title, description)
    VALUES ((SELECT number FROM course_numbers WHERE course_id = new.id), new.title, new.description);
END;
CREATE TRIGGER courses_updated AFTER UPDATE OF title, description ON courses BEGIN
  UPDATE course_words SET title = new.title, description = new.description
   WHERE rowid = (SELECT number FROM course_numbers WHERE course_id = new.id);
END;
DROP TABLE course_words;
CREATE VIRTUAL TABLE course_words USING fts5(
  title, description, content = '', contentless_delete = 1, prefix = '2 3',
  tokenize = 'unicode61 remove_diacritics 0'
);
INSERT INTO course_words (rowid, title, description)
  SELECT n.number, c.title, c.description FROM course_numbers n JOIN courses c ON c.id = n.course_id;
