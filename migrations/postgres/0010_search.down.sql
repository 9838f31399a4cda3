-- Back to words that PostgreSQL cuts, of all courses.
-- Words are cut at each of these, as whoever searches cuts them. By itself PostgreSQL takes "Node.js"
-- for the name of a host, and "3.12" for a number. What else is no letter, it finds by itself.
CREATE FUNCTION only_words(plain text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN translate(plain, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32));

ALTER TABLE courses DROP COLUMN words;
ALTER TABLE courses ADD COLUMN title_words TSVECTOR NOT NULL
  GENERATED ALWAYS AS (to_tsvector('simple', only_words(title))) STORED;
ALTER TABLE courses ADD COLUMN words TSVECTOR NOT NULL
  GENERATED ALWAYS AS (to_tsvector('simple', only_words(title || ' ' || description))) STORED;
CREATE INDEX courses_by_title_words ON courses USING gin (title_words);
CREATE INDEX courses_by_words ON courses USING gin (words);

CREATE FUNCTION words_of(title text, description text)
  RETURNS TABLE (word text, in_title boolean) LANGUAGE sql IMMUTABLE AS $$
  SELECT unnest(tsvector_to_array(to_tsvector('simple', only_words(title)))), true
  UNION ALL
  SELECT unnest(tsvector_to_array(to_tsvector('simple', only_words(title || ' ' || description)))),
         false
$$;

CREATE FUNCTION keep_course_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    DELETE FROM course_words k USING words_of(OLD.title, OLD.description) w
     WHERE k.word = w.word AND k.in_title = w.in_title AND k.course_id = OLD.id;
  END IF;
  INSERT INTO course_words (word, in_title, course_id)
    SELECT w.word, w.in_title, NEW.id FROM words_of(NEW.title, NEW.description) w;
  RETURN NULL;
END $$;

CREATE TRIGGER courses_inserted AFTER INSERT ON courses
  FOR EACH ROW EXECUTE FUNCTION keep_course_words();
CREATE TRIGGER courses_updated AFTER UPDATE OF title, description ON courses
  FOR EACH ROW WHEN (OLD.title <> NEW.title OR OLD.description <> NEW.description)
  EXECUTE FUNCTION keep_course_words();

DELETE FROM course_words;
INSERT INTO course_words (word, in_title, course_id)
  SELECT w.word, w.in_title, c.id FROM courses c, words_of(c.title, c.description) w;
