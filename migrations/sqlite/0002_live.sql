-- Live sessions: who meters them, how far they are, and what was watched.

-- The node that meters the session; null: none yet. Not a foreign key, because the row of a node
-- goes when its lease is over, and its sessions are then found by that.
ALTER TABLE sessions ADD COLUMN node_id BLOB CHECK (length(node_id) = 16);
-- The sign-in the player came with: when it ends, so does the session. Sign-ins are forgotten.
ALTER TABLE sessions ADD COLUMN login_id BLOB CHECK (length(login_id) = 16);
-- How often a player has come in. A ticket names the number, and is good for the next time only.
ALTER TABLE sessions ADD COLUMN entries INTEGER NOT NULL DEFAULT 0 CHECK (entries >= 0);
-- What was charged and what was not, in order, as [kind, milliseconds]. Whole when it has ended.
ALTER TABLE sessions ADD COLUMN stretches TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(stretches));
CREATE INDEX sessions_of_teacher ON sessions (teacher_id, started_at);
CREATE INDEX sessions_of_node ON sessions (node_id) WHERE status = 'active';

-- Running nodes. A lease is judged by this database's clock, and by no other.
CREATE TABLE nodes (
  id          BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  name        TEXT NOT NULL,
  started_at  INTEGER NOT NULL,
  lease_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the sessions of a node had watched, packed: one row for each slot of its wheel.
CREATE TABLE checkpoints (
  node_id BLOB NOT NULL,
  slot    INTEGER NOT NULL,
  payload BLOB NOT NULL,
  PRIMARY KEY (node_id, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE videos (
  id          BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  course_id   BLOB NOT NULL REFERENCES courses (id),
  title       TEXT NOT NULL,
  duration_ms INTEGER NOT NULL CHECK (duration_ms > 0),
  position    INTEGER NOT NULL CHECK (position >= 0),   -- in the course, from 0
  created_at  INTEGER NOT NULL,
  UNIQUE (course_id, position)
) STRICT, WITHOUT ROWID;

-- How much of a video was watched in a session. One bit of `coverage` is a 64th of the video.
CREATE TABLE session_video_progress (
  session_id  BLOB NOT NULL REFERENCES sessions (id),
  video_id    BLOB NOT NULL REFERENCES videos (id),
  position_ms INTEGER NOT NULL CHECK (position_ms >= 0),
  watched_ms  INTEGER NOT NULL CHECK (watched_ms >= 0),
  coverage    INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  PRIMARY KEY (session_id, video_id)
) STRICT, WITHOUT ROWID;
