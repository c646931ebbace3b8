-- What people have reported to moderators.
CREATE TABLE reports (
    number  INTEGER PRIMARY KEY,
    job_id  TEXT NOT NULL,
    user    TEXT NOT NULL,                      -- who has reported it
    reason  TEXT NOT NULL,
    made_at REAL NOT NULL,                      -- unix seconds
    is_open INTEGER NOT NULL DEFAULT 1,
    UNIQUE (job_id, user)
) STRICT;
CREATE INDEX reports_open ON reports (number) WHERE is_open;

-- What moderators are told of in a log channel: refused and held requests, reports, acts.
CREATE TABLE incidents (
    number  INTEGER PRIMARY KEY,
    made_at REAL NOT NULL,                      -- unix seconds
    kind    TEXT NOT NULL CHECK (kind IN ('refused', 'held', 'reported', 'act')),
    user    TEXT,                               -- whom it is about
    server  TEXT,                               -- platform-server:id
    job_id  TEXT,
    note    TEXT NOT NULL
) STRICT;
CREATE INDEX incidents_by_server ON incidents (server, made_at);

-- The channel of a server that is told of incidents there.
CREATE TABLE log_channels (
    server  TEXT PRIMARY KEY,                   -- platform-server:id
    channel TEXT NOT NULL                       -- the platform's own id
) STRICT;
