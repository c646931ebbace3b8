-- A history of a million jobs is looked up by time, and by person, without reading all of it.
CREATE INDEX jobs_by_time ON jobs (submitted_at);
CREATE INDEX jobs_with_files ON jobs (finished_at) WHERE NOT is_pruned;
CREATE INDEX entries_resets ON entries (user, counts_at) WHERE kind = 'reset';
CREATE INDEX entries_made_by ON entries (made_by) WHERE made_by IS NOT NULL;
CREATE INDEX audit_by_time ON audit (made_at);
CREATE INDEX audit_by_admin ON audit (admin);
CREATE INDEX audit_by_subject ON audit (subject) WHERE subject IS NOT NULL;
CREATE INDEX incidents_by_time ON incidents (made_at);
CREATE INDEX incidents_by_user ON incidents (user) WHERE user IS NOT NULL;
CREATE INDEX reports_by_time ON reports (made_at);
CREATE INDEX reports_by_user ON reports (user, made_at);
CREATE INDEX entries_by_time ON entries (counts_at);
CREATE INDEX strikes_by_time ON strikes (made_at);
