-- Back to the indexes of the tsvectors.
CREATE INDEX courses_by_words ON courses USING gin (words);
CREATE INDEX courses_by_title_words ON courses USING gin (title_words);
DROP TRIGGER courses_updated ON courses;
DROP TRIGGER courses_inserted ON courses;
DROP FUNCTION keep_course_words();
DROP FUNCTION words_of(text, text);
DROP TABLE course_words;
