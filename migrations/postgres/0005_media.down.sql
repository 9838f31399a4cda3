-- Forgets video files; what is in the storage stays there. Deleted videos are there again.
DROP INDEX courses_deleted;
DROP TABLE video_files;
ALTER TABLE videos DROP COLUMN deleted_at;
ALTER TABLE videos DROP COLUMN is_preview;
