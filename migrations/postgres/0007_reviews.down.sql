-- Forgets what students said, and what it came to. Bonuses that were paid stay paid.
DROP INDEX courses_by_rating;
ALTER TABLE courses DROP COLUMN rating;
ALTER TABLE courses DROP COLUMN rating_points;
ALTER TABLE courses DROP COLUMN rating_weight;
ALTER TABLE courses DROP COLUMN reviews;
DROP TABLE reviews;
