-- Denoising steps of all pictures that were drawn when its own person cancelled a running job,
-- who pays for them; NULL where nobody has to.
ALTER TABLE jobs ADD COLUMN steps_drawn INTEGER;
