-- The events of session $1, in the order of the log.
SELECT *
FROM provenance_events
WHERE session_id = $1::VARCHAR
ORDER BY line_number
