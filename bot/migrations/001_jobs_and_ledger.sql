-- A job is a row from the moment that it is accepted: the whole request, where the answer
-- goes, how often it was tried, whether it was delivered.
CREATE TABLE jobs (
    number       INTEGER PRIMARY KEY,           -- order of arrival
    id           TEXT NOT NULL UNIQUE,
    user         TEXT NOT NULL,                 -- platform:id
    status       TEXT NOT NULL
                 CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    prompt       TEXT NOT NULL,
    request      TEXT NOT NULL,                 -- JSON, diffusers' argument names
    images       INTEGER NOT NULL,
    cost         INTEGER NOT NULL,              -- credits
    submitted_at REAL NOT NULL,                 -- unix seconds
    started_at   REAL,
    finished_at  REAL,
    seconds      REAL,                          -- on the engine
    attempts     INTEGER NOT NULL DEFAULT 0,
    reply_to     TEXT,                          -- JSON that only the adapter understands
    delivery     TEXT NOT NULL DEFAULT 'none'
                 CHECK (delivery IN ('none', 'owed', 'delivered')),
    event_id     TEXT UNIQUE,                   -- the platform's event, so that it asks once
    parent       TEXT,                          -- id of the job that this one repeats or varies
    remarks      TEXT NOT NULL DEFAULT '[]',    -- JSON list of sentences
    error        TEXT,
    is_pruned    INTEGER NOT NULL DEFAULT 0     -- its files were deleted after gallery.keep_days
) STRICT;
CREATE INDEX jobs_by_user ON jobs (user, number);
CREATE INDEX jobs_unfinished ON jobs (number) WHERE status IN ('queued', 'running');
CREATE INDEX jobs_owed ON jobs (number) WHERE delivery = 'owed';

CREATE VIRTUAL TABLE jobs_words USING fts5 (
    prompt, content = 'jobs', content_rowid = 'number',
    tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER jobs_words_insert AFTER INSERT ON jobs BEGIN
    INSERT INTO jobs_words (rowid, prompt) VALUES (new.number, new.prompt);
END;
CREATE TRIGGER jobs_words_delete AFTER DELETE ON jobs BEGIN
    INSERT INTO jobs_words (jobs_words, rowid, prompt) VALUES ('delete', old.number, old.prompt);
END;

-- Every credit that was ever spent, given back or granted. A balance is a sum over entries,
-- never a counter. Charges draw on the allowance of the rolling window first, then on what
-- admins granted; a refund mirrors its charge, and counts from the charge's time, so that
-- both leave the window together.
CREATE TABLE entries (
    number    INTEGER PRIMARY KEY,
    user      TEXT NOT NULL,
    kind      TEXT NOT NULL CHECK (kind IN ('charge', 'refund', 'grant', 'reset')),
    pot       TEXT NOT NULL CHECK (pot IN ('allowance', 'grant')),
    credits   INTEGER NOT NULL,                 -- negative for charges
    counts_at REAL NOT NULL,                    -- unix seconds; what the window looks at
    made_at   REAL NOT NULL,                    -- unix seconds; when it was written
    job_id    TEXT REFERENCES jobs (id),
    made_by   TEXT,                             -- the admin who granted
    UNIQUE (job_id, kind, pot)
) STRICT;
CREATE INDEX entries_by_user ON entries (user, pot, counts_at);

CREATE TABLE people (
    user       TEXT PRIMARY KEY,
    credits    INTEGER,                         -- own quota; NULL means the configured one
    banned_at  REAL,
    ban_reason TEXT,
    settings   TEXT NOT NULL DEFAULT '{}'       -- JSON, own defaults
) STRICT;

CREATE TABLE audit (
    number  INTEGER PRIMARY KEY,
    made_at REAL NOT NULL,
    admin   TEXT NOT NULL,
    act     TEXT NOT NULL,
    subject TEXT,
    detail  TEXT
) STRICT;

CREATE TABLE switches (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
