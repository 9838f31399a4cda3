-- Forgets the sums; everything they were made of stays.
DROP TABLE video_views;
DROP TABLE course_earnings;
DROP TABLE earnings_quarters;
