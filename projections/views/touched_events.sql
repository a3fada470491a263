-- One row per event of the sessions $1, with what a manifest and a summary show of it.
-- The views of this family read it, so that a refresh scans provenance_events once.
CREATE OR REPLACE TEMP TABLE touched_events AS
SELECT
    session_id,
    sequence_number,
    line_number,
    event_type,
    event_name,
    "timestamp",
    action_type,
    tool,
    status,
    error,
    files_affected,
    CASE WHEN event_type = 'annotation' THEN left(details ->> '$.text', 2000) END AS annotation
FROM provenance_events
WHERE session_id IN (SELECT unnest($1::VARCHAR[]))
