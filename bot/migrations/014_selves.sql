-- Accounts that one person has joined: those with the same person, as long as they have not left.
-- What was spent until then goes on counting for both sides, so that nobody gains by leaving.
CREATE TABLE selves (
    account   TEXT NOT NULL,                    -- platform:id
    person    TEXT NOT NULL,                    -- random
    joined_at REAL NOT NULL,                    -- unix seconds
    left_at   REAL                              -- unix seconds; NULL while it is joined
) STRICT;
CREATE UNIQUE INDEX selves_joined ON selves (account) WHERE left_at IS NULL;
CREATE INDEX selves_by_account ON selves (account);
CREATE INDEX selves_by_person ON selves (person);
CREATE INDEX selves_left ON selves (left_at) WHERE left_at IS NOT NULL;
