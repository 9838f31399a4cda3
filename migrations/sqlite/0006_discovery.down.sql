-- Forgets what was asked and answered, and how much of a day's messages was used.
DROP TABLE discovery_days;
DROP TABLE discovery_usage;
DROP TABLE discovery_chats;
