-- One row per agent type, the one with most sessions first.
-- $1 agent_type, $2 earliest start: NULL takes every one. A session that is open, or was imported
-- without an outcome, counts as neither successful nor failed, as in `looking_agents`.
SELECT
    agent_type,
    count(*) AS executions,
    avg(duration_ms) AS avg_duration_ms,
    max(duration_ms) AS max_duration_ms,
    min(duration_ms) AS min_duration_ms,
    count(*) FILTER (state = 'success') AS successful,
    count(*) FILTER (state = 'failure') AS failed
FROM provenance_sessions
WHERE
    ($1::VARCHAR IS NULL OR agent_type = $1::VARCHAR)
    AND ($2::TIMESTAMP IS NULL OR created_at >= $2::TIMESTAMP)
GROUP BY agent_type
ORDER BY executions DESC, agent_type
