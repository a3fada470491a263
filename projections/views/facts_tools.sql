-- One row per session, tool and type of action, the most used first.
SELECT
    session_id,
    tool,
    action_type,
    count(*) AS calls,
    count(*) FILTER (status = 'failure') AS failures,
    count(*) FILTER (cache_hit) AS cache_hits,
    coalesce(sum(duration_ms), 0)::BIGINT AS duration_ms,
    coalesce(max(duration_ms), 0)::BIGINT AS longest_ms
FROM touched_calls
GROUP BY session_id, tool, action_type
ORDER BY session_id, calls DESC, tool, action_type
