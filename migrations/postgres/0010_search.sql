-- Murph cuts courses into words by itself: the same way on both databases, and under every locale. Only what
-- is on offer can be found.

DROP TRIGGER courses_updated ON courses;
DROP TRIGGER courses_inserted ON courses;
DROP FUNCTION keep_course_words();
DROP FUNCTION words_of(text, text);

-- `words` says what words a course has; which courses have a word says `course_words`, in their order.
ALTER TABLE courses DROP COLUMN title_words;
DROP INDEX courses_by_words;
ALTER TABLE courses ALTER COLUMN words DROP EXPRESSION;
ALTER TABLE courses ALTER COLUMN words SET DEFAULT ''::tsvector;
DROP FUNCTION only_words(text);

-- Filled as soon as they are empty, by Murph.
TRUNCATE course_words;
UPDATE courses SET words = '';
