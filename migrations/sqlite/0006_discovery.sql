-- Discovery: what students asked for, what they were answered, and what models took for it.

CREATE TABLE discovery_chats (
  id            BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  user_id       BLOB    NOT NULL REFERENCES users (id),
  message       TEXT    NOT NULL,
  reply         TEXT    NOT NULL,
  picks         TEXT    NOT NULL CHECK (json_valid(picks)),   -- [{course_id, why}], in order
  provider      TEXT    NOT NULL CHECK (provider IN ('built_in', 'openai', 'anthropic', 'gemini', 'groq')),
  input_tokens  INTEGER NOT NULL CHECK (input_tokens >= 0),
  output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
  cost          INTEGER NOT NULL CHECK (cost >= 0),           -- in what the provider bills in
  created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX discovery_chats_of_user ON discovery_chats (user_id, id);

-- How many messages somebody sent in the day that began then, and what models took for them in all.
-- It stays when the chats are deleted: forgetting is no new quota.
CREATE TABLE discovery_usage (
  user_id    BLOB    NOT NULL PRIMARY KEY REFERENCES users (id),
  began_at   INTEGER NOT NULL,
  used       INTEGER NOT NULL CHECK (used > 0),
  total_cost INTEGER NOT NULL CHECK (total_cost >= 0)
) STRICT, WITHOUT ROWID;

-- About how many messages of all students together models were asked in the day that began then.
CREATE TABLE discovery_days (
  began_at INTEGER NOT NULL PRIMARY KEY,
  used     INTEGER NOT NULL CHECK (used > 0)
) STRICT, WITHOUT ROWID;
