-- When the words of a job were forgotten, for their age or because somebody asked for it.
ALTER TABLE jobs ADD COLUMN forgotten_at REAL;  -- unix seconds; NULL while they are kept
CREATE INDEX jobs_remembered ON jobs (finished_at) WHERE forgotten_at IS NULL;

-- A changed prompt is searched for as it is now.
CREATE TRIGGER jobs_words_update AFTER UPDATE OF prompt ON jobs BEGIN
    INSERT INTO jobs_words (jobs_words, rowid, prompt) VALUES ('delete', old.number, old.prompt);
    INSERT INTO jobs_words (rowid, prompt) VALUES (new.number, new.prompt);
END;

-- Random keys that never leave the database.
CREATE TABLE keys (
    name TEXT PRIMARY KEY,
    key  BLOB NOT NULL
) STRICT;

-- People who have deleted their data, by a keyed hash of their id: so long as their credits
-- count, and their bans and own quotas for ever. Entries, jobs and acts that were theirs are under
-- the random stand-in.
CREATE TABLE departed (
    hash       TEXT PRIMARY KEY,
    stand_in   TEXT NOT NULL UNIQUE,            -- deleted:random
    until      REAL NOT NULL,                   -- unix seconds
    banned_at  REAL,
    ban_reason TEXT,
    credits    INTEGER                          -- own quota
) STRICT;

-- Deletions that are still to be carried out: at once, or after a time to think better of it.
CREATE TABLE due_deletions (
    user   TEXT NOT NULL,                       -- empty: of everybody in the server
    server TEXT NOT NULL,                       -- empty: in every place
    due_at REAL NOT NULL,                       -- unix seconds
    PRIMARY KEY (user, server)
) STRICT;
