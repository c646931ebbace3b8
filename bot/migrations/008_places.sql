-- Roles whose members alone may draw in a server; a server without a row has no such limit.
CREATE TABLE drawing_roles (
    server TEXT NOT NULL,                       -- platform-server:id
    role   TEXT NOT NULL,                       -- platform-role:id
    PRIMARY KEY (server, role)
) STRICT;

-- What the managers of a server decide about people there.
CREATE TABLE members (
    server     TEXT NOT NULL,                   -- platform-server:id
    user       TEXT NOT NULL,                   -- platform:id
    banned_at  REAL,                            -- unix seconds
    ban_reason TEXT,
    credits    INTEGER,                         -- per window, of this server's jobs alone
    PRIMARY KEY (server, user)
) STRICT;
