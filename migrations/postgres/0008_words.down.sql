-- Back to the tsvectors and their indexes.
DROP TRIGGER courses_updated ON courses;
DROP TRIGGER courses_inserted ON courses;
DROP FUNCTION keep_course_words();
DROP FUNCTION words_of(text, text);
DROP TABLE course_words;
ALTER TABLE courses DROP COLUMN title_words, DROP COLUMN words;
DROP FUNCTION only_words(text);
ALTER TABLE courses ADD COLUMN title_words TSVECTOR NOT NULL
  GENERATED ALWAYS AS (to_tsvector('simple', title)) STORED;
ALTER TABLE courses ADD COLUMN words TSVECTOR NOT NULL
  GENERATED ALWAYS AS (to_tsvector('simple', title || ' ' || description)) STORED;
CREATE INDEX courses_by_title_words ON courses USING gin (title_words);
CREATE INDEX courses_by_words ON courses USING gin (words);
