-- Live sessions: who meters them, how far they are, and what was watched.

-- The node that meters the session; null: none yet. Not a foreign key, because the row of a node
-- goes when its lease is over, and its sessions are then found by that.
ALTER TABLE sessions ADD COLUMN node_id UUID;
-- The sign-in the player came with: when it ends, so does the session. Sign-ins are forgotten.
ALTER TABLE sessions ADD COLUMN login_id UUID;
-- How often a player has come in. A ticket names the number, and is good for the next time only.
ALTER TABLE sessions ADD COLUMN entries BIGINT NOT NULL DEFAULT 0 CHECK (entries >= 0);
-- What was charged and what was not, in order, as [kind, milliseconds]. Whole when it has ended.
ALTER TABLE sessions ADD COLUMN stretches JSONB NOT NULL DEFAULT '[]';
CREATE INDEX sessions_of_teacher ON sessions (teacher_id, started_at);
CREATE INDEX sessions_of_node ON sessions (node_id) WHERE status = 'active';

-- Running nodes. A lease is judged by this database's clock, and by no other.
CREATE TABLE nodes (
  id          UUID NOT NULL PRIMARY KEY,
  name        TEXT NOT NULL,
  started_at  TIMESTAMPTZ NOT NULL,
  lease_until TIMESTAMPTZ NOT NULL
);

-- What the sessions of a node had watched, packed: one row for each slot of its wheel.
CREATE TABLE checkpoints (
  node_id UUID NOT NULL,
  slot    BIGINT NOT NULL,
  payload BYTEA NOT NULL,
  PRIMARY KEY (node_id, slot)
);

CREATE TABLE videos (
  id          UUID NOT NULL PRIMARY KEY,
  course_id   UUID NOT NULL REFERENCES courses (id),
  title       TEXT NOT NULL,
  duration_ms BIGINT NOT NULL CHECK (duration_ms > 0),
  position    BIGINT NOT NULL CHECK (position >= 0),   -- in the course, from 0
  created_at  TIMESTAMPTZ NOT NULL,
  UNIQUE (course_id, position)
);

-- How much of a video was watched in a session. One bit of `coverage` is a 64th of the video.
CREATE TABLE session_video_progress (
  session_id  UUID NOT NULL REFERENCES sessions (id),
  video_id    UUID NOT NULL REFERENCES videos (id),
  position_ms BIGINT NOT NULL CHECK (position_ms >= 0),
  watched_ms  BIGINT NOT NULL CHECK (watched_ms >= 0),
  coverage    BIGINT NOT NULL,
  updated_at  TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (session_id, video_id)
);

-- Written again and again, and packed already: kept out of line, and not compressed once more.
ALTER TABLE checkpoints ALTER COLUMN payload SET STORAGE EXTERNAL;
