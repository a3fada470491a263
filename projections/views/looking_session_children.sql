-- One row per session that names $1 as its parent, oldest first.
SELECT
    session_id,
    agent_type,
    state,
    tool_call_count,
    query
FROM provenance_sessions
WHERE parent_session_id = $1::VARCHAR
ORDER BY start_time NULLS LAST, session_id
