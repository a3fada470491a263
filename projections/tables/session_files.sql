-- One row: one file that actions of one session name, of the sessions in the relation touched. A
-- failed or skipped action touched nothing.
WITH named AS (
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
        AND session_id IN (FROM touched)
)

SELECT
    session_id,
    path,
    count(*) FILTER (action_type IN ('read', 'search', 'analyze')) AS reads,
    count(*) FILTER (action_type IN ('modify', 'create')) AS writes,
    count(*) AS actions,
    min(touched_at) AS first_time,
    max(touched_at) AS last_time
FROM named
WHERE path IS NOT NULL
GROUP BY session_id, path
