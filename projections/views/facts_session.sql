-- One row per session of $1: its row of provenance_sessions.
SELECT *
FROM provenance_sessions
WHERE session_id IN (SELECT unnest($1::VARCHAR[]))
ORDER BY session_id
