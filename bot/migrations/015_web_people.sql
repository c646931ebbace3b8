-- People who sign in on the page without a token: by a link that an admin, or the bot elsewhere,
-- has given them.
CREATE TABLE web_people (
    user    TEXT PRIMARY KEY,                   -- web:name
    made_at REAL NOT NULL                       -- unix seconds
) STRICT;

-- Links that sign in on the page, once.
CREATE TABLE sign_in_links (
    hash    TEXT PRIMARY KEY,                   -- SHA-256 of the link's secret
    user    TEXT NOT NULL,                      -- platform:id
    ends_at REAL NOT NULL                       -- unix seconds
) STRICT;
CREATE INDEX sign_in_links_by_user ON sign_in_links (user);
