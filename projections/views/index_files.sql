-- One row per file that an action names, of all sessions. A failed or skipped action touched
-- nothing.
WITH touched AS (
    SELECT
        session_id,
        action_type,
        "timestamp" AS touched_at,
        unnest(json_transform(files_affected, '["VARCHAR"]')) AS path
    FROM provenance_events
    WHERE
        files_affected IS NOT NULL
        AND status IS DISTINCT FROM 'failure'
        AND status IS DISTINCT FROM 'skipped'
)

SELECT
    path,
    count(*) FILTER (action_type IN ('read', 'search', 'analyze')) AS reads,
    count(*) FILTER (action_type IN ('modify', 'create')) AS writes,
    count(*) AS actions,
    count(DISTINCT session_id) AS sessions,
    min(touched_at) AS first_time,
    max(touched_at) AS last_time
FROM touched
WHERE path IS NOT NULL
GROUP BY path
ORDER BY path
