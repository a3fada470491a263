-- The relation touched, of which the tables that are selected from others are, for all sessions.
CREATE OR REPLACE TEMP TABLE touched AS SELECT session_id FROM provenance_sessions
