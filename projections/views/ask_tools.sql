-- One row per tool, the one with most calls first; $1 earliest call, NULL takes every one.
-- A call that has several lines counts once, with what its last line says, as in `looking_tools`.
-- One that was skipped, or done in part, counts as neither successful nor failed.
WITH calls AS (
    SELECT
        max_by(tool_type, sequence_number) AS tool_type,
        max_by(tool_name, sequence_number) AS tool_name,
        max_by(status, sequence_number) AS status,
        max_by(duration_ms, sequence_number) AS duration_ms,
        max_by(cache_hit, sequence_number) AS cache_hit,
        min(call_time) AS call_time
    FROM provenance_tool_calls
    GROUP BY session_id, call_id
)

SELECT
    tool_type,
    tool_name,
    count(*) AS call_count,
    avg(duration_ms) AS avg_duration_ms,
    count(*) FILTER (cache_hit) AS cache_hits,
    count(*) FILTER (NOT cache_hit) AS cache_misses,
    count(*) FILTER (status = 'success') AS successful,
    count(*) FILTER (status = 'failure') AS failed
FROM calls
WHERE $1::TIMESTAMP IS NULL OR call_time >= $1::TIMESTAMP
GROUP BY tool_type, tool_name
ORDER BY call_count DESC, tool_type, tool_name
