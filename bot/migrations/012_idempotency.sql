-- Keys of requests that may be sent again, for a day: the same key means the same job.
CREATE TABLE idempotency_keys (
    user        TEXT NOT NULL,                  -- platform:id
    key         TEXT NOT NULL,                  -- SHA-256 of the key as it was sent
    fingerprint TEXT NOT NULL,                  -- SHA-256 of the request
    event_id    TEXT NOT NULL,                  -- jobs.event_id of the job it made
    ends_at     REAL NOT NULL,                  -- unix seconds
    PRIMARY KEY (user, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_end ON idempotency_keys (ends_at);
