-- Who is signed in on the page. The hash is of the cookie's secret, with the person's token as
-- its key.
CREATE TABLE web_sessions (
    hash     TEXT PRIMARY KEY,
    user     TEXT NOT NULL,                     -- platform:id
    began_at REAL NOT NULL,                     -- unix seconds
    ends_at  REAL NOT NULL
) STRICT;
CREATE INDEX web_sessions_by_user ON web_sessions (user);
