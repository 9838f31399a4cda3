-- Forgets what is at Mux, and stays there. Files are played as they were uploaded; what Mux was at work on
-- is not there yet, and waits to be confirmed again.
DROP TABLE mux_leftovers;
DROP INDEX video_files_at_mux;
DROP INDEX video_files_of_asset;
ALTER TABLE video_files DROP COLUMN mux_playback_id;
ALTER TABLE video_files DROP COLUMN mux_asset_id;
ALTER TABLE video_files DROP COLUMN mux_asked_at;
ALTER TABLE video_files DROP COLUMN mux_since;
