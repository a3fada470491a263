-- The transformations of session $1, in the order of the log.
SELECT *
FROM provenance_transformations
WHERE session_id = $1::VARCHAR
ORDER BY sequence_number, event_id, transformation_id
