-- Addresses that are told of the ends of jobs, until they have taken the news.
CREATE TABLE webhooks (
    job_id   TEXT PRIMARY KEY REFERENCES jobs (id),
    user     TEXT NOT NULL,                     -- platform:id
    url      TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at  REAL NOT NULL                      -- unix seconds; not before the job has ended
) STRICT;
CREATE INDEX webhooks_by_time ON webhooks (next_at);
CREATE INDEX webhooks_by_user ON webhooks (user);
