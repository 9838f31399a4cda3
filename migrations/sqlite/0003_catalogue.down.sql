-- Forgets categories and descriptions. All courses are on offer again, deleted ones too.
DROP TRIGGER courses_updated;
DROP TRIGGER courses_inserted;
DROP TABLE course_words;
DROP TABLE course_numbers;
DROP INDEX courses_by_price;
DROP INDEX courses_of_category;
DROP INDEX courses_published;
DROP INDEX courses_of_teacher;
CREATE INDEX courses_of_teacher ON courses (teacher_id);
ALTER TABLE courses DROP COLUMN status;
ALTER TABLE courses DROP COLUMN category_id;
ALTER TABLE courses DROP COLUMN description;
DROP TABLE categories;
