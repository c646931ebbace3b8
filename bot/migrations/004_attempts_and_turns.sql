-- Which attempt at a job is the one that counts: what an earlier one brings late is thrown away.
ALTER TABLE jobs ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
-- How often its engine died over it.
ALTER TABLE jobs ADD COLUMN engine_losses INTEGER NOT NULL DEFAULT 0;
-- Given up after too many attempts, and kept for an admin to look at and to replay.
ALTER TABLE jobs ADD COLUMN is_dead_letter INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_dead_letters ON jobs (number) WHERE is_dead_letter;

-- The round of the queue in which it was last begun, so that a restart goes on in it; NULL
-- before that.
ALTER TABLE jobs ADD COLUMN turn INTEGER;
CREATE INDEX jobs_by_turn ON jobs (turn) WHERE turn IS NOT NULL;
-- Admins' moves of waiting jobs, counted: negative to the front, positive to the back.
ALTER TABLE jobs ADD COLUMN moved INTEGER;
