-- One row per session, newest first; `matching_count` is how many there are before the limit.
-- $1 agent_type, $2 state, $3 earliest start: NULL takes every one. $4 the most rows; NULL: all.
SELECT
    session_id,
    log,
    start_time,
    agent_type,
    model,
    project,
    state,
    action_count,
    tool_call_count,
    failure_count,
    quarantined_count,
    duration_ms,
    last_time,
    input_tokens,
    output_tokens,
    cache_creation_tokens,
    cache_read_tokens,
    parent_session_id,
    query,
    count(*) OVER () AS matching_count
FROM provenance_sessions
WHERE
    ($1::VARCHAR IS NULL OR agent_type = $1::VARCHAR)
    AND ($2::VARCHAR IS NULL OR state = $2::VARCHAR)
    AND ($3::TIMESTAMP IS NULL OR start_time >= $3::TIMESTAMP)
ORDER BY start_time DESC NULLS LAST, log DESC, session_id
LIMIT $4::BIGINT
