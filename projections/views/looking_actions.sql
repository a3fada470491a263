-- One row per action of session $1: the last $2, or the first $2 when $3 is true; in log order.
-- `subject` is the one thing that says what the action was about: a path, command or query.
WITH chosen AS (
    SELECT
        event_id,
        sequence_number,
        line_number,
        timestamp,
        event_type,
        event_name,
        action_type,
        tool,
        status,
        duration_ms,
        details
    FROM provenance_events
    WHERE session_id = $1::VARCHAR
    ORDER BY CASE WHEN $3::BOOLEAN THEN line_number ELSE -line_number END
    LIMIT $2::BIGINT
),

asked AS (
    SELECT
        event_id,
        sequence_number,
        json_extract_string(any_value(input_params), [
            '$.command', '$.file_path', '$.notebook_path', '$.pattern', '$.query', '$.url',
            '$.path', '$.description', '$.prompt', '$.questions[0].question'
        ]) AS found
    FROM provenance_tool_calls
    WHERE
        session_id = $1::VARCHAR
        AND sequence_number IN (SELECT sequence_number FROM chosen)
    GROUP BY event_id, sequence_number
)

SELECT
    c.sequence_number AS action_id,
    c.timestamp AS happened_at,
    c.event_type,
    c.action_type,
    c.tool,
    c.status,
    c.duration_ms,
    left(coalesce(
        a.found[1], a.found[2], a.found[3], a.found[4], a.found[5], a.found[6], a.found[7],
        a.found[8], a.found[9],
        nullif(concat_ws(
            ': ', c.details ->> '$.decision_point', c.details ->> '$.branch_taken'
        ), ''),
        a.found[10],
        c.details ->> '$.transformation_name',
        nullif(c.details ->> '$.text', ''),
        c.details ->> '$.session.query',
        c.details ->> '$.error_message',
        c.event_name
    ), 1000) AS subject
FROM chosen AS c
LEFT JOIN asked AS a ON a.event_id = c.event_id AND a.sequence_number = c.sequence_number
ORDER BY c.line_number
