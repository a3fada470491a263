-- One row per session with failed tool calls or other failed actions: how many, and the first $1
-- in the order of the log. How a session ended is in its own row.
WITH failures AS (
    SELECT
        session_id,
        sequence_number,
        event_id AS place,
        call_time AS failed_at,
        tool,
        error_type AS code,
        error_message AS message,
        subject
    FROM touched_calls
    WHERE status = 'failure'
    UNION ALL
    SELECT
        session_id,
        sequence_number,
        line_number::VARCHAR AS place,
        "timestamp" AS failed_at,
        tool,
        error ->> '$.code' AS code,
        left(coalesce(error ->> '$.message', error ->> '$'), 2000) AS message,
        NULL AS subject
    FROM touched_events
    WHERE status = 'failure' AND event_type NOT IN ('tool_call', 'lifecycle')
)

SELECT
    session_id,
    count(*) AS total,
    list(
        {
            'sequence_number': sequence_number,
            'failed_at': failed_at,
            'tool': tool,
            'code': code,
            'message': message,
            'subject': subject
        }
        ORDER BY sequence_number, place
    )[1:$1] AS entries
FROM failures
GROUP BY session_id
ORDER BY session_id
