-- The ground: people, courses, and the double-entry ledger with the money side of sessions.
--
-- Money is in whole micro-units (10^-6 of the currency), times are microseconds since 1970 UTC,
-- ids are 16 bytes. What the database can check, it checks: see the constraints.
-- The same tables with the same columns stand in migrations/postgres; a test compares them.

CREATE TABLE users (
  id            BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  email         TEXT    NOT NULL UNIQUE,          -- lower case
  name          TEXT    NOT NULL,
  role          TEXT    NOT NULL CHECK (role IN ('student', 'teacher', 'admin')),
  status        TEXT    NOT NULL CHECK (status IN ('active', 'suspended', 'deleted')),
  password_hash TEXT    NOT NULL,
  profile       TEXT    NOT NULL CHECK (json_valid(profile)),
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One sign-in. Its refresh tokens form a chain that ends as a whole.
CREATE TABLE logins (
  id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  user_id    BLOB    NOT NULL REFERENCES users (id),
  address    TEXT    NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  ended_at   INTEGER,
  end_reason TEXT CHECK (end_reason IN ('logged_out', 'token_reused', 'password_changed', 'ended_by_admin')),
  CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX logins_of_user ON logins (user_id);
CREATE INDEX logins_by_expiry ON logins (expires_at);

-- Only the hash of a token is kept.
CREATE TABLE refresh_tokens (
  token_hash BLOB    NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
  login_id   BLOB    NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
  created_at INTEGER NOT NULL,
  used_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_of_login ON refresh_tokens (login_id);
CREATE INDEX refresh_tokens_by_use ON refresh_tokens (used_at) WHERE used_at IS NOT NULL;

CREATE TABLE courses (
  id                    BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  teacher_id            BLOB    NOT NULL REFERENCES users (id),
  title                 TEXT    NOT NULL,
  -- The upper bound keeps price x watched time of a day within 64 bits.
  price_per_minute      INTEGER NOT NULL CHECK (price_per_minute BETWEEN 0 AND 100000000000),
  currency              TEXT    NOT NULL CHECK (length(currency) = 3),
  platform_basis_points INTEGER NOT NULL CHECK (platform_basis_points BETWEEN 0 AND 10000),
  partners              TEXT    NOT NULL CHECK (json_valid(partners)),
  created_at            INTEGER NOT NULL,
  updated_at            INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX courses_of_teacher ON courses (teacher_id);

-- The ledger's accounts. `posted` is what an account owns, `held` what open sessions reserve of it.
-- Only a gateway, which stands for the world outside, may be below zero.
CREATE TABLE accounts (
  id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  kind       TEXT    NOT NULL CHECK (kind IN ('wallet', 'earnings', 'platform', 'partner', 'gateway')),
  user_id    BLOB    REFERENCES users (id),
  name       TEXT,
  currency   TEXT    NOT NULL CHECK (length(currency) = 3),
  posted     INTEGER NOT NULL DEFAULT 0,
  held       INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
  created_at INTEGER NOT NULL,
  CHECK (kind = 'gateway' OR posted - held >= 0),
  CHECK (kind = 'wallet' OR held = 0),
  CHECK ((kind IN ('wallet', 'earnings')) = (user_id IS NOT NULL)),
  CHECK ((kind IN ('partner', 'gateway')) = (name IS NOT NULL)),
  UNIQUE (id, currency)                          -- so that both ends of a transfer share one
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX accounts_of_user ON accounts (user_id, kind, currency) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX accounts_of_others ON accounts (kind, coalesce(name, ''), currency) WHERE user_id IS NULL;

-- A journal's id is its idempotency key: settle:<session>, top_up:<provider>:<payment>, ...; ids in
-- it are 32 hexadecimal digits.
CREATE TABLE journals (
  id    TEXT    NOT NULL PRIMARY KEY,
  kind  TEXT    NOT NULL CHECK (kind IN ('settle', 'top_up', 'payout', 'quality_bonus', 'reversal')),
  actor BLOB REFERENCES users (id),              -- who asked for it; null: Murph itself
  at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A row has two sides, so it cannot be out of balance.
CREATE TABLE transfers (
  journal_id        TEXT    NOT NULL REFERENCES journals (id),
  seq               INTEGER NOT NULL CHECK (seq >= 0),
  debit_account_id  BLOB    NOT NULL,
  credit_account_id BLOB    NOT NULL,
  currency          TEXT    NOT NULL,
  amount            INTEGER NOT NULL CHECK (amount > 0),
  at                INTEGER NOT NULL,
  PRIMARY KEY (journal_id, seq),
  FOREIGN KEY (debit_account_id, currency) REFERENCES accounts (id, currency),
  FOREIGN KEY (credit_account_id, currency) REFERENCES accounts (id, currency),
  CHECK (debit_account_id <> credit_account_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX transfers_to ON transfers (credit_account_id, at);

-- History is append-only: corrections are new journals.
CREATE TRIGGER journals_keep BEFORE UPDATE ON journals BEGIN SELECT RAISE(ABORT, 'journals are append-only'); END;
CREATE TRIGGER journals_stay BEFORE DELETE ON journals BEGIN SELECT RAISE(ABORT, 'journals are append-only'); END;
CREATE TRIGGER transfers_keep BEFORE UPDATE ON transfers BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END;
CREATE TRIGGER transfers_stay BEFORE DELETE ON transfers BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END;

-- A session and its hold are one row, so that the row itself can say that a session never costs
-- more than its hold, and no hold can outlive its session.
CREATE TABLE sessions (
  id                    BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  student_id            BLOB    NOT NULL REFERENCES users (id),
  course_id             BLOB    NOT NULL REFERENCES courses (id),
  teacher_id            BLOB    NOT NULL REFERENCES users (id),
  -- the terms, as they were at the start
  currency              TEXT    NOT NULL,
  price_per_minute      INTEGER NOT NULL CHECK (price_per_minute BETWEEN 0 AND 100000000000),
  platform_basis_points INTEGER NOT NULL CHECK (platform_basis_points BETWEEN 0 AND 10000),
  partners              TEXT    NOT NULL CHECK (json_valid(partners)),
  free_below_ms         INTEGER NOT NULL CHECK (free_below_ms >= 0), -- ended with less watched: free
  spending_cap          INTEGER CHECK (spending_cap > 0),
  auto_extend           INTEGER NOT NULL CHECK (auto_extend IN (0, 1)),
  -- the hold; a free course holds nothing
  wallet_id             BLOB,
  held                  INTEGER NOT NULL CHECK (held >= 0 AND (spending_cap IS NULL OR held <= spending_cap)),
  -- the life
  status                TEXT    NOT NULL CHECK (status IN ('active', 'completed', 'cancelled')),
  fence                 INTEGER NOT NULL CHECK (fence > 0),
  watched_ms            INTEGER NOT NULL CHECK (watched_ms BETWEEN 0 AND 86400000),
  cost                  INTEGER NOT NULL,
  started_at            INTEGER NOT NULL,
  ended_at              INTEGER,
  end_reason            TEXT CHECK (end_reason IN ('ended_by_student', 'disconnected', 'never_started',
                          'funds_exhausted', 'node_lost', 'max_duration', 'ended_by_admin', 'logged_out')),
  journal_id            TEXT REFERENCES journals (id),
  FOREIGN KEY (wallet_id, currency) REFERENCES accounts (id, currency),
  CHECK ((wallet_id IS NULL) = (price_per_minute = 0)),
  CHECK ((wallet_id IS NULL) = (held = 0)),
  CHECK (cost BETWEEN 0 AND held),
  CHECK (cost = CASE
           WHEN status <> 'completed' THEN 0
           WHEN price_per_minute * watched_ms / 60000 > held THEN held
           ELSE price_per_minute * watched_ms / 60000 END),
  CHECK (watched_ms * 1000 <= ended_at - started_at),
  CHECK ((status = 'active') = (ended_at IS NULL)),
  CHECK ((status = 'active') = (end_reason IS NULL)),
  CHECK ((status = 'active') = (journal_id IS NULL)),
  CHECK (journal_id = 'settle:' || lower(hex(id)))     -- so a session is settled once
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX sessions_one_active ON sessions (student_id) WHERE status = 'active';
CREATE INDEX sessions_of_student ON sessions (student_id, started_at);

CREATE TABLE top_ups (
  id                  BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  user_id             BLOB    NOT NULL REFERENCES users (id),
  account_id          BLOB    NOT NULL,
  currency            TEXT    NOT NULL,
  amount              INTEGER NOT NULL CHECK (amount > 0),
  provider            TEXT    NOT NULL,
  provider_payment_id TEXT    NOT NULL,
  status              TEXT    NOT NULL CHECK (status IN ('pending', 'completed', 'failed')),
  journal_id          TEXT REFERENCES journals (id),
  created_at          INTEGER NOT NULL,
  UNIQUE (provider, provider_payment_id),        -- a payment is credited once
  FOREIGN KEY (account_id, currency) REFERENCES accounts (id, currency),
  CHECK ((status = 'completed') = (journal_id IS NOT NULL)),
  CHECK (journal_id = 'top_up:' || provider || ':' || provider_payment_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX top_ups_of_user ON top_ups (user_id, created_at);

CREATE TABLE payouts (
  id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  user_id    BLOB    NOT NULL REFERENCES users (id),
  account_id BLOB    NOT NULL,
  currency   TEXT    NOT NULL,
  amount     INTEGER NOT NULL CHECK (amount > 0),
  provider   TEXT    NOT NULL,
  status     TEXT    NOT NULL CHECK (status IN ('pending', 'completed', 'failed')),
  journal_id TEXT    NOT NULL REFERENCES journals (id),
  created_at INTEGER NOT NULL,
  FOREIGN KEY (account_id, currency) REFERENCES accounts (id, currency),
  CHECK (journal_id = 'payout:' || lower(hex(id)))
) STRICT, WITHOUT ROWID;
CREATE INDEX payouts_of_user ON payouts (user_id, created_at);

-- The answer to a request that carried an Idempotency-Key, written with the work itself.
CREATE TABLE idempotency_keys (
  user_id      BLOB    NOT NULL REFERENCES users (id),
  key          TEXT    NOT NULL,
  request_hash BLOB    NOT NULL CHECK (length(request_hash) = 32),
  status       INTEGER,
  body         TEXT,
  created_at   INTEGER NOT NULL,
  PRIMARY KEY (user_id, key),
  CHECK ((status IS NULL) = (body IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- Secrets that the nodes of one installation share when none are configured.
CREATE TABLE secrets (
  name       TEXT    NOT NULL PRIMARY KEY,
  value      TEXT    NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
