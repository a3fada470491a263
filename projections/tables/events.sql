-- One row: one line of a log that could be decoded, whatever kind of event it is.
SELECT
    event_id,
    session_id,
    event_type,
    event_name,
    timestamp,
    sequence_number,
    details,
    duration_ms,
    json_extract_string(details, '$.related_event_id') AS related_event_id,
    action_type,
    tool,
    status,
    read_only,
    files_affected,
    context,
    error,
    json_extract_string(details, '$.agent_id') AS agent_id,
    chained,
    line_number,
    line_offset,
    line_hash
FROM batch
