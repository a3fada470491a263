-- One row per tool: of session $1, or of all when it is NULL. A call that has several lines
-- counts once, with what its last line says.
WITH calls AS (
    SELECT
        session_id,
        call_id,
        max_by(tool_name, sequence_number) AS tool,
        max_by(status, sequence_number) AS status,
        max_by(duration_ms, sequence_number) AS duration_ms
    FROM provenance_tool_calls
    WHERE $1::VARCHAR IS NULL OR session_id = $1::VARCHAR
    GROUP BY session_id, call_id
)

SELECT
    tool,
    count(*) AS call_count,
    count(*) FILTER (status = 'failure') AS failure_count,
    round(quantile_cont(duration_ms, 0.5))::BIGINT AS duration_p50_ms,
    round(quantile_cont(duration_ms, 0.95))::BIGINT AS duration_p95_ms,
    sum(duration_ms)::BIGINT AS duration_total_ms
FROM calls
GROUP BY tool
ORDER BY call_count DESC, tool
