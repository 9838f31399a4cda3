-- Forgets who meters which session, and what was watched of each video. Money is not touched.
DROP TABLE session_video_progress;
DROP TABLE videos;
DROP TABLE checkpoints;
DROP TABLE nodes;
DROP INDEX sessions_of_node;
DROP INDEX sessions_of_teacher;
ALTER TABLE sessions DROP COLUMN stretches;
ALTER TABLE sessions DROP COLUMN entries;
ALTER TABLE sessions DROP COLUMN login_id;
ALTER TABLE sessions DROP COLUMN node_id;
