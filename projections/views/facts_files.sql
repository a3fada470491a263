-- One row per session and use of files: how many files, and the first $1 in the order of first
-- use. A failed or skipped action touched nothing.
WITH touched AS (
    SELECT
        session_id,
        sequence_number,
        CASE
            WHEN action_type IN ('read', 'search', 'analyze') THEN 'read'
            WHEN action_type = 'modify' THEN 'modified'
            WHEN action_type = 'create' THEN 'created'
            ELSE 'other'
        END AS use,
        unnest(json_transform(files_affected, '["VARCHAR"]')) AS path
    FROM touched_events
    WHERE
        files_affected IS NOT NULL
        AND status IS DISTINCT FROM 'failure'
        AND status IS DISTINCT FROM 'skipped'
),

files AS (
    SELECT
        session_id,
        use,
        path,
        count(*) AS uses,
        min(sequence_number) AS first_use
    FROM touched
    WHERE path IS NOT NULL
    GROUP BY session_id, use, path
)

SELECT
    session_id,
    use,
    count(*) AS total,
    list({'path': path, 'uses': uses} ORDER BY first_use, path)[1:$1] AS entries
FROM files
GROUP BY session_id, use
ORDER BY session_id, use
