-- One row per link to the entity $2 of the table $1, the newest first, with its session.
SELECT
    s.session_id,
    s.agent_type,
    s.query,
    s.start_time,
    s.duration_ms,
    s.success,
    l.link_type,
    l.timestamp
FROM provenance_entity_links AS l
INNER JOIN provenance_sessions AS s ON s.session_id = l.session_id
WHERE l.entity_table = $1::VARCHAR AND l.entity_id = $2::VARCHAR
ORDER BY
    l.timestamp DESC NULLS LAST,
    s.start_time DESC NULLS LAST,
    s.session_id,
    l.sequence_number DESC NULLS LAST,
    l.link_number DESC,
    l.event_id
