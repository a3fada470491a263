-- One row per tool call of the sessions $1. A call that has several lines counts once, with what
-- its last line says; looking for such lines costs more than all the rest, so it is done only in
-- sessions that have more lines of calls than calls.
-- `subject` is what the call was about: its command, pattern, file and so on.
CREATE OR REPLACE TEMP TABLE touched_calls AS
WITH doubled AS (
    SELECT lines.session_id
    FROM provenance_tool_calls AS lines
    INNER JOIN provenance_sessions AS sessions USING (session_id)
    WHERE lines.session_id IN (SELECT unnest($1::VARCHAR[]))
    GROUP BY lines.session_id
    HAVING count(*) <> any_value(sessions.tool_call_count)
),

last_lines AS (
    FROM provenance_tool_calls
    WHERE
        session_id IN (SELECT unnest($1::VARCHAR[]))
        AND session_id NOT IN (FROM doubled)
    UNION ALL
    FROM provenance_tool_calls
    WHERE session_id IN (FROM doubled)
    QUALIFY row_number() OVER (
        PARTITION BY session_id, call_id
        ORDER BY sequence_number DESC, event_id DESC
    ) = 1
),

calls AS (
    SELECT
        *,
        json_extract_string(
            input_params,
            [
                '$.command', '$.pattern', '$.query', '$.url', '$.file_path', '$.notebook_path',
                '$.path', '$.description', '$.prompt'
            ]
        ) AS subjects
    FROM last_lines
)

SELECT
    session_id,
    sequence_number,
    event_id,
    coalesce(action_type, 'unknown') AS action_type,
    coalesce(tool_name, tool, 'unknown') AS tool,
    status,
    coalesce(cache_hit, false) AS cache_hit,
    duration_ms,
    call_time,
    error_type,
    left(error_message, 2000) AS error_message,
    left(
        coalesce(
            subjects[1], subjects[2], subjects[3], subjects[4], subjects[5], subjects[6],
            subjects[7], subjects[8], subjects[9]
        ),
        1000
    ) AS subject
FROM calls
