-- One row per tool, of all sessions, from the relation counts, which has one for each session.
SELECT
    tool,
    sum(calls)::BIGINT AS calls,
    sum(failures)::BIGINT AS failures,
    sum(cache_hits)::BIGINT AS cache_hits,
    count(*) AS sessions,
    sum(timed_calls)::BIGINT AS timed_calls,
    coalesce(sum(duration_total_ms), 0)::BIGINT AS duration_total_ms,
    coalesce(max(duration_max_ms), 0)::BIGINT AS duration_max_ms
FROM counts
GROUP BY tool
ORDER BY tool
