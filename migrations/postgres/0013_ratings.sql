-- What the published reviews of each course come to, by their ratings: so that nobody has to read all
-- reviews of a teacher for it. All of it follows from them: `murph rebuild` makes it anew, `murph
-- check-ledger` compares. Nodes of an older kind that still run publish without these sums: run `murph
-- rebuild` when the last of them is gone.
CREATE TABLE course_ratings (
  course_id   UUID   NOT NULL REFERENCES courses (id),
  rating      BIGINT  NOT NULL CHECK (rating BETWEEN 1 AND 5),
  teacher_id  UUID   NOT NULL REFERENCES users (id),
  reviews     BIGINT  NOT NULL,                        -- how many
  credibility BIGINT  NOT NULL,                        -- of all of them, in millionths
  weight      BIGINT  NOT NULL,                        -- the same
  PRIMARY KEY (course_id, rating)
);
CREATE INDEX course_ratings_of_teacher ON course_ratings (teacher_id);

INSERT INTO course_ratings (course_id, rating, teacher_id, reviews, credibility, weight)
SELECT course_id, rating, teacher_id, COUNT(*), SUM(credibility), SUM(weight)
  FROM reviews WHERE status = 'published' GROUP BY course_id, rating, teacher_id;
