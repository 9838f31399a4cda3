-- What is to be removed is not looked for by its video any more.
DROP INDEX video_files_of_video;
CREATE INDEX video_files_of_video ON video_files (video_id) WHERE status <> 'discarded';
DROP INDEX videos_deleted;
