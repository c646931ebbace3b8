-- Votes for pictures; a picture with enough of them is shown in its server's best-of channel.
CREATE TABLE votes (
  job_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  user TEXT NOT NULL,
  voted_at REAL NOT NULL,
  PRIMARY KEY (job_id, number, user)
) WITHOUT ROWID;
CREATE INDEX votes_by_user ON votes (user);

CREATE TABLE showcase_channels (
  server TEXT PRIMARY KEY,
  channel TEXT NOT NULL
) WITHOUT ROWID;

-- state: owed (to be shown), shown, withdrawn (to be taken down), refused (never to be tried again).
CREATE TABLE showcased (
  job_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  server TEXT NOT NULL,
  channel TEXT NOT NULL,
  message TEXT,
  state TEXT NOT NULL,
  decided_at REAL NOT NULL,
  PRIMARY KEY (job_id, number)
) WITHOUT ROWID;
CREATE INDEX showcased_open ON showcased (state, server) WHERE state IN ('owed', 'withdrawn');
