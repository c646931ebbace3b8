-- Numbers of the pictures of a job that may be seen before all are drawn, and that stay whatever
-- becomes of the others, as a JSON list. A job that succeeded has all of its pictures.
ALTER TABLE jobs ADD COLUMN ready TEXT NOT NULL DEFAULT '[]';
