-- The links to entities of session $1, in the order of the log.
SELECT *
FROM provenance_entity_links
WHERE session_id = $1::VARCHAR
ORDER BY sequence_number, link_number, event_id
