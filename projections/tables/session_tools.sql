-- One row: one tool of one session, of those in the relation touched. A call that has several
-- lines counts once, with what its last line says. Looking for such calls costs far more than
-- counting, so it is done only in sessions that have more lines of calls than calls.
WITH doubled AS (
    SELECT lines.session_id
    FROM provenance_tool_calls AS lines
    INNER JOIN provenance_sessions AS sessions USING (session_id)
    WHERE lines.session_id IN (FROM touched)
    GROUP BY lines.session_id
    HAVING count(*) <> any_value(sessions.tool_call_count)
),

last_lines AS (
    FROM provenance_tool_calls
    WHERE
        session_id IN (FROM touched)
        AND session_id NOT IN (FROM doubled)
    UNION ALL
    FROM provenance_tool_calls
    WHERE session_id IN (FROM doubled)
    QUALIFY row_number() OVER (
        PARTITION BY session_id, call_id
        ORDER BY sequence_number DESC, event_id DESC
    ) = 1
)

SELECT
    session_id,
    coalesce(tool_name, tool, 'unknown') AS tool,
    count(*) AS calls,
    count(*) FILTER (status = 'failure') AS failures,
    count(*) FILTER (cache_hit) AS cache_hits,
    count(duration_ms) AS timed_calls,
    sum(duration_ms)::BIGINT AS duration_total_ms,
    max(duration_ms) AS duration_max_ms
FROM last_lines
GROUP BY ALL
