-- Reviews, how far each can be believed, and what they come to.

CREATE TABLE reviews (
  id             BLOB   NOT NULL PRIMARY KEY,
  session_id     BLOB   NOT NULL UNIQUE REFERENCES sessions (id),  -- one for each session
  course_id      BLOB   NOT NULL REFERENCES courses (id),
  teacher_id     BLOB   NOT NULL REFERENCES users (id),
  student_id     BLOB   NOT NULL REFERENCES users (id),
  rating         INTEGER NOT NULL CHECK (rating BETWEEN 1 AND 5),
  text           TEXT   NOT NULL,
  -- the credibility and what it is made of, in millionths
  depth          INTEGER NOT NULL CHECK (depth BETWEEN 0 AND 1000000),
  consistency    INTEGER NOT NULL CHECK (consistency BETWEEN 0 AND 1000000),
  duration       INTEGER NOT NULL CHECK (duration BETWEEN 0 AND 1000000),
  coverage       INTEGER NOT NULL CHECK (coverage BETWEEN 0 AND 1000000),
  credibility    INTEGER NOT NULL CHECK (credibility BETWEEN 0 AND 1000000),
  weight         INTEGER NOT NULL CHECK (weight BETWEEN 0 AND 1000000),
  status         TEXT   NOT NULL CHECK (status IN ('published', 'held', 'rejected')),
  flags          TEXT   NOT NULL CHECK (json_valid(flags)), -- why it looks bought
  -- what it is worth to the teacher, from the platform
  currency       TEXT   NOT NULL,
  bonus          INTEGER NOT NULL CHECK (bonus >= 0),
  bonus_status   TEXT   NOT NULL CHECK (bonus_status IN ('none', 'waiting', 'paid')),
  journal_id     TEXT   REFERENCES journals (id),
  contest_reason TEXT,                               -- the teacher's, once
  contested_at   INTEGER,
  decided_by     BLOB   REFERENCES users (id),       -- the admin
  decision       TEXT,
  decided_at     INTEGER,
  created_at     INTEGER NOT NULL,
  CHECK ((bonus_status = 'paid') = (journal_id IS NOT NULL)),
  CHECK (journal_id = 'quality_bonus:' || lower(hex(session_id))),
  CHECK (bonus_status <> 'waiting' OR (bonus > 0 AND status = 'published')),
  CHECK ((contest_reason IS NULL) = (contested_at IS NULL)),
  CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
  CHECK ((decision IS NULL) = (decided_at IS NULL))
) STRICT;
CREATE INDEX reviews_of_course ON reviews (course_id, created_at, id);
CREATE INDEX reviews_of_teacher ON reviews (teacher_id, created_at, id);
CREATE INDEX reviews_of_student ON reviews (student_id, created_at);
CREATE INDEX reviews_by_time ON reviews (created_at, id);
CREATE INDEX reviews_held ON reviews (created_at, id) WHERE status = 'held';
CREATE INDEX reviews_held_of_teacher ON reviews (teacher_id, created_at, id) WHERE status = 'held';
CREATE INDEX reviews_contested ON reviews (created_at, id)
  WHERE contested_at IS NOT NULL AND decided_at IS NULL;
CREATE INDEX reviews_waiting ON reviews (currency, id) WHERE bonus_status = 'waiting';

-- What the published reviews of a course come to: how many, their weights in millionths, their
-- ratings times their weights, and from that the rating in hundredths; 0: none that counts.
ALTER TABLE courses ADD COLUMN reviews INTEGER NOT NULL DEFAULT 0 CHECK (reviews >= 0);
ALTER TABLE courses ADD COLUMN rating_weight INTEGER NOT NULL DEFAULT 0 CHECK (rating_weight >= 0);
ALTER TABLE courses ADD COLUMN rating_points INTEGER NOT NULL DEFAULT 0 CHECK (rating_points >= 0);
ALTER TABLE courses ADD COLUMN rating INTEGER NOT NULL DEFAULT 0
  CHECK (rating = CASE WHEN rating_weight = 0 THEN 0 ELSE rating_points * 100 / rating_weight END);
CREATE INDEX courses_by_rating ON courses (rating, id) WHERE status = 'published';
