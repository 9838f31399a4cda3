DROP INDEX transfers_for_reviews;
CREATE INDEX logins_of_user ON logins (user_id);
DROP INDEX logins_addresses;
