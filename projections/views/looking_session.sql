-- The row of session $1.
SELECT *
FROM provenance_sessions
WHERE session_id = $1::VARCHAR
