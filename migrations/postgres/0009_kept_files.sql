-- Files of deleted videos are kept while sessions may be on them, and then found by this.
CREATE INDEX videos_deleted ON videos (deleted_at) WHERE deleted_at IS NOT NULL;
-- What the files of a teacher take up, with those that are still to be removed.
DROP INDEX video_files_of_video;
CREATE INDEX video_files_of_video ON video_files (video_id);
