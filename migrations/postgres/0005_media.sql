-- Video files: what was uploaded for a video, whether it can be played, and what is to be removed.

ALTER TABLE videos ADD COLUMN is_preview BOOLEAN NOT NULL DEFAULT FALSE;
-- Of a deleted video the row stays, for what was watched of it.
ALTER TABLE videos ADD COLUMN deleted_at TIMESTAMPTZ;

-- A file of a video, stored under its id. A new file comes beside the one in use and takes its place
-- when it was found to be good. `discarded` is what is still to be removed from the storage.
CREATE TABLE video_files (
  id           UUID   NOT NULL PRIMARY KEY,
  video_id     UUID   NOT NULL REFERENCES videos (id),
  content_type TEXT   NOT NULL,
  size_bytes   BIGINT NOT NULL CHECK (size_bytes > 0),
  duration_ms  BIGINT CHECK (duration_ms > 0),        -- as the file says; null: it does not
  status       TEXT   NOT NULL
    CHECK (status IN ('expected', 'uploaded', 'processing', 'ready', 'failed', 'discarded')),
  failure      TEXT,
  created_at   TIMESTAMPTZ NOT NULL,
  expires_at   TIMESTAMPTZ NOT NULL,                 -- nobody can upload it from then on
  CHECK ((status = 'failed') = (failure IS NOT NULL))
);
CREATE UNIQUE INDEX video_files_in_use ON video_files (video_id) WHERE status = 'ready';
CREATE UNIQUE INDEX video_files_to_come ON video_files (video_id)
  WHERE status IN ('expected', 'uploaded', 'processing', 'failed');
CREATE INDEX video_files_of_video ON video_files (video_id) WHERE status <> 'discarded';
CREATE INDEX video_files_to_sweep ON video_files (expires_at) WHERE status <> 'ready';
-- Whose files are to be removed.
CREATE INDEX courses_deleted ON courses (updated_at) WHERE status = 'deleted';
