-- From where somebody signs in: from one address to the next.
CREATE INDEX logins_addresses ON logins (user_id, address);
DROP INDEX logins_of_user;
-- What the platform has paid for reviews. Few transfers are in it, so that settling writes no more.
CREATE INDEX transfers_for_reviews ON transfers (debit_account_id, at)
  WHERE substr(journal_id, 1, 14) = 'quality_bonus:';
