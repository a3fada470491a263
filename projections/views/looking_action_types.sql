-- One row per action type, the most frequent first.
SELECT
    action_type,
    count(*) AS action_count,
    count(*) FILTER (status = 'failure') AS failure_count
FROM provenance_events
GROUP BY action_type
ORDER BY action_count DESC, action_type
