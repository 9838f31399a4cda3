-- What the published reviews of each course come to, by their ratings: so that nobody has to read all
-- reviews of a teacher for it. All of it follows from them: `murph rebuild` makes it anew, `murph
-- check-ledger` compares. Nodes of an older kind that still run publish without these sums: run `murph
-- rebuild` when the last of them is gone.
CREATE TABLE course_ratings (
  course_id   BLOB   NOT NULL REFERENCES courses (id),
  rating      INTEGER NOT NULL CHECK (rating BETWEEN 1 AND 5),
  teacher_id  BLOB   NOT NULL REFERENCES users (id),
  reviews     INTEGER NOT NULL,                        -- how many
  credibility INTEGER NOT NULL,                        -- of all of them, in millionths
  weight      INTEGER NOT NULL,                        -- the same
  PRIMARY KEY (course_id, rating)
) STRICT, WITHOUT ROWID;
CREATE INDEX course_ratings_of_teacher ON course_ratings (teacher_id);

INSERT INTO course_ratings (course_id, rating, teacher_id, reviews, credibility, weight)
SELECT course_id, rating, teacher_id, COUNT(*), SUM(credibility), SUM(weight)
  FROM reviews WHERE status = 'published' GROUP BY course_id, rating, teacher_id;
