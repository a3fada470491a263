-- One row per agent type, the one with most sessions first.
SELECT
    agent_type,
    count(*) AS session_count,
    count(*) FILTER (state = 'failure') AS failed_session_count,
    coalesce(sum(tool_call_count), 0)::BIGINT AS tool_call_count,
    coalesce(sum(failure_count), 0)::BIGINT AS failure_count,
    sum(duration_ms)::BIGINT AS duration_total_ms
FROM provenance_sessions
GROUP BY agent_type
ORDER BY session_count DESC, agent_type
