-- Jobs whose pictures whoever has the link may see, until that is taken back.
CREATE TABLE shared_jobs (
    job_id    TEXT NOT NULL PRIMARY KEY REFERENCES jobs (id),
    user      TEXT NOT NULL,                    -- platform:id, whose job it is
    shared_at REAL NOT NULL                     -- unix seconds
) STRICT, WITHOUT ROWID;
CREATE INDEX shared_jobs_by_user ON shared_jobs (user);
