-- One row per file, of all sessions, from the relation counts, which has one for each session.
SELECT
    path,
    sum(reads)::BIGINT AS reads,
    sum(writes)::BIGINT AS writes,
    sum(actions)::BIGINT AS actions,
    count(*) AS sessions,
    min(first_time) AS first_time,
    max(last_time) AS last_time
FROM counts
GROUP BY path
ORDER BY path
