-- Jobs of people without credits, which are drawn at no charge when nobody who pays waits.
ALTER TABLE jobs ADD COLUMN is_relaxed INTEGER NOT NULL DEFAULT 0;
