-- One row per session and name of annotations that hold a text: how many, and the first $1 in the
-- order of the log.
SELECT
    session_id,
    event_name AS kind,
    count(*) AS total,
    list({'text': annotation} ORDER BY line_number)[1:$1] AS entries
FROM touched_events
WHERE event_type = 'annotation' AND annotation IS NOT NULL
GROUP BY session_id, event_name
ORDER BY session_id, event_name
