-- What is compared of session $1.
SELECT
    session_id,
    agent_type,
    query,
    kwargs,
    duration_ms,
    success,
    action_count,
    tool_call_count,
    decision_count
FROM provenance_sessions
WHERE session_id = $1::VARCHAR
