-- What Mux makes of a file that was looked at and found to be good, if it is to.
ALTER TABLE video_files ADD COLUMN mux_since TIMESTAMPTZ;      -- from when on Mux is to have it
ALTER TABLE video_files ADD COLUMN mux_asked_at TIMESTAMPTZ;   -- when Mux was asked about it last
ALTER TABLE video_files ADD COLUMN mux_asset_id TEXT CHECK (mux_asset_id IS NULL OR mux_since IS NOT NULL);
ALTER TABLE video_files ADD COLUMN mux_playback_id TEXT
  CHECK (mux_playback_id IS NULL OR mux_asset_id IS NOT NULL);
CREATE UNIQUE INDEX video_files_of_asset ON video_files (mux_asset_id) WHERE mux_asset_id IS NOT NULL;
CREATE INDEX video_files_at_mux ON video_files (id)
  WHERE status = 'processing' AND mux_since IS NOT NULL;

-- What is to be deleted at Mux: no file has it any more.
CREATE TABLE mux_leftovers (asset_id TEXT NOT NULL PRIMARY KEY);
