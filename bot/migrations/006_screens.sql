-- What the screens found. 'due': to be held once it is drawn; 'held': drawn, and shown to
-- moderators alone until one of them has decided. Until then its status stays 'running'.
ALTER TABLE jobs ADD COLUMN review TEXT
    CHECK (review IN ('due', 'held', 'released', 'rejected'));
ALTER TABLE jobs ADD COLUMN verdict TEXT;       -- a note for moderators
ALTER TABLE jobs ADD COLUMN is_spoiler INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_held ON jobs (number) WHERE review = 'held';

-- Refused words and pictures, for which a person is paused once they are too many.
CREATE TABLE strikes (
    number    INTEGER PRIMARY KEY,
    user      TEXT NOT NULL,                    -- platform:id
    made_at   REAL NOT NULL,                    -- unix seconds
    reason    TEXT NOT NULL,
    job_id    TEXT,
    is_lifted INTEGER NOT NULL DEFAULT 0        -- by an admin
) STRICT;
CREATE INDEX strikes_by_user ON strikes (user, made_at);

-- Words that the managers of a server want refused there, beside those of the screens.
CREATE TABLE refused_words (
    server TEXT NOT NULL,                       -- platform-server:id
    word   TEXT NOT NULL,
    PRIMARY KEY (server, word)
) STRICT;
