-- Takes everything away. Only for a database that may be lost: `murph migrate --down` asks first.
DROP TABLE secrets;
DROP TABLE idempotency_keys;
DROP TABLE payouts;
DROP TABLE top_ups;
DROP TABLE sessions;
DROP TABLE transfers;
DROP TABLE journals;
DROP TABLE accounts;
DROP TABLE courses;
DROP TABLE refresh_tokens;
DROP TABLE logins;
DROP TABLE users;
DROP FUNCTION append_only();
DROP FUNCTION hex(uuid);
