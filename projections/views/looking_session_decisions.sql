-- One row per decision of session $1, in the order of the log; at most $2.
-- `matching_count` is how many there are before the limit.
SELECT
    sequence_number AS action_id,
    timestamp AS happened_at,
    decision_type,
    left(decision_point, 2000) AS decision_point,
    left(branch_taken, 2000) AS branch_taken,
    left(reason, 2000) AS reason,
    count(*) OVER () AS matching_count
FROM provenance_decisions
WHERE session_id = $1::VARCHAR
ORDER BY sequence_number, decision_id
LIMIT $2::BIGINT
