-- Whether a person gave the seed, which is then kept when the job is drawn again.
ALTER TABLE jobs ADD COLUMN is_seed_given INTEGER NOT NULL DEFAULT 0;
-- How the job came of its parent; NULL without one, and in older rows.
ALTER TABLE jobs ADD COLUMN relation TEXT;
