-- One row per session: its id.
SELECT session_id
FROM provenance_sessions
ORDER BY session_id
