-- Jobs that people want to find again.
CREATE TABLE favourites (
    user    TEXT NOT NULL,                      -- platform:id
    job_id  TEXT NOT NULL REFERENCES jobs (id),
    made_at REAL NOT NULL,                      -- unix seconds
    PRIMARY KEY (user, job_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX favourites_by_job ON favourites (job_id);
