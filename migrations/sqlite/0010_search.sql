-- Murph cuts courses into words by itself: the same way on both databases. Only what is on offer can be
-- found. The words of the title stand there a second time, with an arrow in front of each, so that what
-- has words in its title is found without looking where in a text each word is.

DROP TRIGGER courses_updated;
DROP TRIGGER courses_inserted;
CREATE TRIGGER courses_inserted AFTER INSERT ON courses BEGIN
  INSERT INTO course_numbers (course_id) VALUES (new.id);
END;

-- Filled as soon as it is there, by Murph.
DROP TABLE course_words;
CREATE VIRTUAL TABLE course_words USING fts5(
  words, content = '', contentless_delete = 1, detail = none, prefix = '2 3', tokenize = 'ascii'
);
