-- Forgets categories and descriptions. All courses are on offer again, deleted ones too.
DROP INDEX courses_by_words;
DROP INDEX courses_by_title_words;
ALTER TABLE courses DROP COLUMN words;
ALTER TABLE courses DROP COLUMN title_words;
DROP INDEX courses_by_price;
DROP INDEX courses_of_category;
DROP INDEX courses_published;
DROP INDEX courses_of_teacher;
CREATE INDEX courses_of_teacher ON courses (teacher_id);
ALTER TABLE courses DROP COLUMN status;
ALTER TABLE courses DROP COLUMN category_id;
ALTER TABLE courses DROP COLUMN description;
DROP TABLE categories;
