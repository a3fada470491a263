-- One row per failed action of session $1, in the order of the log; at most $2.
-- `matching_count` is how many there are before the limit.
SELECT
    sequence_number AS action_id,
    timestamp AS happened_at,
    tool,
    coalesce(error ->> '$.code', details ->> '$.error_type') AS error_code,
    left(coalesce(error ->> '$.message', details ->> '$.error_message'), 2000) AS error_message,
    count(*) OVER () AS matching_count
FROM provenance_events
WHERE session_id = $1::VARCHAR AND status = 'failure'
ORDER BY sequence_number, line_number
LIMIT $2::BIGINT
