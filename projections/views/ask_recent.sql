-- One row per session, the newest first. $1 agent_type, NULL takes every one. $2 the most rows.
SELECT
    session_id,
    agent_type,
    query,
    start_time,
    end_time,
    duration_ms,
    success,
    error_message
FROM provenance_sessions
WHERE $1::VARCHAR IS NULL OR agent_type = $1::VARCHAR
ORDER BY created_at DESC NULLS LAST, log DESC, session_id
LIMIT $2::BIGINT
