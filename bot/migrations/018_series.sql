-- Jobs that were asked for together, and are shown in one message: the id of the first of them.
ALTER TABLE jobs ADD COLUMN series TEXT;
CREATE INDEX jobs_by_series ON jobs (series) WHERE series IS NOT NULL;
