-- One row per agent type, type of decision and branch taken, the most frequent first.
-- $1 agent_type, $2 earliest decision: NULL takes every one.
SELECT
    s.agent_type,
    d.decision_type,
    d.branch_taken,
    count(*) AS count
FROM provenance_decisions AS d
INNER JOIN provenance_sessions AS s ON s.session_id = d.session_id
WHERE
    ($1::VARCHAR IS NULL OR s.agent_type = $1::VARCHAR)
    AND ($2::TIMESTAMP IS NULL OR d.timestamp >= $2::TIMESTAMP)
GROUP BY s.agent_type, d.decision_type, d.branch_taken
ORDER BY count DESC, s.agent_type, d.decision_type, d.branch_taken NULLS LAST
