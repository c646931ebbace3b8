-- Where a job was asked for, so that a server can have limits of its own.
ALTER TABLE jobs ADD COLUMN server TEXT;        -- platform-server:id; NULL where there is none
CREATE INDEX jobs_by_server ON jobs (server, submitted_at) WHERE server IS NOT NULL;

-- Quotas of groups. A role's is what each of its members may spend in a window, a server's
-- what all people in it may spend together.
CREATE TABLE group_quotas (
    name    TEXT PRIMARY KEY,                   -- platform-role:id or platform-server:id
    credits INTEGER NOT NULL
) STRICT;

-- Where the bot may be used in a server; a server without a row has no such limit.
CREATE TABLE channels (
    server  TEXT NOT NULL,                      -- platform-server:id
    channel TEXT NOT NULL,                      -- the platform's own id
    PRIMARY KEY (server, channel)
) STRICT;

-- The server whose managers may see an act, beside the bot's admins.
ALTER TABLE audit ADD COLUMN server TEXT;
