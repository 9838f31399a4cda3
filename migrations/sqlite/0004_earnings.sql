-- What teachers have earned, added up as it is settled: so that nobody has to scan the ledger for
-- it. All of it follows from the ledger: `murph rebuild` makes it anew, `murph check-ledger`
-- compares. Nodes of an older kind that still run settle without these sums: run `murph rebuild`
-- when the last of them is gone.

-- Per quarter of an hour, since the days and hours of all time zones begin on one.
CREATE TABLE earnings_quarters (
  teacher_id BLOB   NOT NULL REFERENCES users (id),
  currency   TEXT   NOT NULL,
  quarter    INTEGER NOT NULL,                     -- its beginning
  course_id  BLOB   NOT NULL REFERENCES courses (id),
  sessions   INTEGER NOT NULL,                      -- that were charged, or free by the course
  watched_ms INTEGER NOT NULL,
  paid       INTEGER NOT NULL,                      -- by the students
  earned     INTEGER NOT NULL,                      -- the teacher's share of it
  bonus      INTEGER NOT NULL,                      -- from the platform, for reviews
  PRIMARY KEY (teacher_id, currency, quarter, course_id)
) STRICT, WITHOUT ROWID;

-- The same, of each course in all.
CREATE TABLE course_earnings (
  course_id  BLOB   NOT NULL REFERENCES courses (id),
  currency   TEXT   NOT NULL,
  teacher_id BLOB   NOT NULL REFERENCES users (id),
  sessions   INTEGER NOT NULL,
  watched_ms INTEGER NOT NULL,
  paid       INTEGER NOT NULL,
  earned     INTEGER NOT NULL,
  bonus      INTEGER NOT NULL,
  PRIMARY KEY (course_id, currency)
) STRICT, WITHOUT ROWID;
CREATE INDEX course_earnings_of_teacher ON course_earnings (teacher_id);

-- How much of each video was watched, in how many sessions.
CREATE TABLE video_views (
  video_id   BLOB   NOT NULL PRIMARY KEY REFERENCES videos (id),
  sessions   INTEGER NOT NULL,
  watched_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO earnings_quarters
  (teacher_id, currency, quarter, course_id, sessions, watched_ms, paid, earned, bonus)
SELECT teacher_id, currency, at - at % 900000000, course_id,
       SUM(sessions), SUM(watched_ms), SUM(paid), SUM(earned), SUM(bonus)
  FROM (SELECT s.teacher_id, s.currency, s.ended_at AS at, s.course_id, 1 AS sessions,
               s.watched_ms, s.cost AS paid, COALESCE(t.amount, 0) AS earned, 0 AS bonus
          FROM sessions s
          LEFT JOIN accounts a
            ON a.user_id = s.teacher_id AND a.kind = 'earnings' AND a.currency = s.currency
          LEFT JOIN transfers t ON t.journal_id = s.journal_id AND t.credit_account_id = a.id
         WHERE s.status = 'completed'
         UNION ALL
        -- Bonuses there may be if these steps were taken back once.
        SELECT s.teacher_id, t.currency, t.at, s.course_id, 0, 0, 0, 0, t.amount
          FROM sessions s
          JOIN transfers t ON t.journal_id = 'quality_bonus:' || lower(hex(s.id))) entries
 GROUP BY teacher_id, currency, at - at % 900000000, course_id;

INSERT INTO course_earnings
  (course_id, currency, teacher_id, sessions, watched_ms, paid, earned, bonus)
SELECT course_id, currency, teacher_id, SUM(sessions), SUM(watched_ms), SUM(paid), SUM(earned),
       SUM(bonus)
  FROM earnings_quarters GROUP BY course_id, currency, teacher_id;

INSERT INTO video_views (video_id, sessions, watched_ms)
SELECT video_id, COUNT(*), SUM(watched_ms) FROM session_video_progress GROUP BY video_id;
