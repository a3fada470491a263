-- One row per file that actions name, busiest first; at most $2.
-- Of session $1, or of all when it is NULL. `matching_count` is how many before the limit.
WITH touched AS (
    SELECT
        session_id,
        action_type,
        unnest(json_transform(files_affected, '["VARCHAR"]')) AS path
    FROM provenance_events
    WHERE
        files_affected IS NOT NULL
        AND ($1::VARCHAR IS NULL OR session_id = $1::VARCHAR)
)

SELECT
    path,
    count(*) AS action_count,
    count(*) FILTER (action_type IN ('modify', 'create')) AS change_count,
    count(DISTINCT session_id) AS session_count,
    count(*) OVER () AS matching_count
FROM touched
WHERE path IS NOT NULL
GROUP BY path
ORDER BY action_count DESC, path
LIMIT $2::BIGINT
