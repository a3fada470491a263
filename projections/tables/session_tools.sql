-- One row: one tool of one session, of those in the relation touched. A call that has several
-- lines counts once, with what its last line says. Looking for such calls costs far more than
-- counting, so it is done only in sessions that have more lines of calls than calls.
WITH counted AS MATERIALIZED (
    SELECT
        session_id,
        coalesce(tool_name, tool, 'unknown') AS tool,
        count(*) AS calls,
        count(*) FILTER (status = 'failure') AS failures,
        count(*) FILTER (cache_hit) AS cache_hits,
        count(duration_ms) AS timed_calls,
        sum(duration_ms) AS duration_total_ms,
        max(duration_ms) AS duration_max_ms
    FROM provenance_tool_calls
    WHERE session_id IN (FROM touched)
    GROUP BY ALL
),

doubled AS (
    SELECT counted.session_id
    FROM counted
    INNER JOIN provenance_sessions AS sessions USING (session_id)
    GROUP BY counted.session_id
    HAVING sum(counted.calls) <> any_value(sessions.tool_call_count)
),

last_lines AS (
    FROM provenance_tool_calls
    WHERE session_id IN (FROM doubled)
    QUALIFY row_number() OVER (
        PARTITION BY session_id, call_id
        ORDER BY sequence_number DESC, event_id DESC
    ) = 1
),

by_session AS (
    FROM counted
    WHERE session_id NOT IN (FROM doubled)
    UNION ALL
    SELECT
        session_id,
        coalesce(tool_name, tool, 'unknown') AS tool,
        count(*) AS calls,
        count(*) FILTER (status = 'failure') AS failures,
        count(*) FILTER (cache_hit) AS cache_hits,
        count(duration_ms) AS timed_calls,
        sum(duration_ms) AS duration_total_ms,
        max(duration_ms) AS duration_max_ms
    FROM last_lines
    GROUP BY ALL
)

SELECT * REPLACE (duration_total_ms::BIGINT AS duration_total_ms) FROM by_session
