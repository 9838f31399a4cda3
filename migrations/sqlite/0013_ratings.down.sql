-- Forgets sums that follow from the reviews.
DROP TABLE course_ratings;
