-- One row per incident: a log that shrank, changed, vanished, or exists twice.
SELECT
    kind,
    log,
    session_id,
    other_log,
    line_number,
    line_offset,
    detail
FROM provenance_incidents
ORDER BY log, kind, line_offset
