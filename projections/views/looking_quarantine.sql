-- One row per log and reason: how many lines could not be read, and where the first one is.
SELECT
    log,
    session_id,
    reason,
    count(*) AS line_count,
    min(line_number) AS first_line,
    min_by(line_offset, line_number) AS first_offset
FROM provenance_quarantine
GROUP BY log, session_id, reason
ORDER BY log, reason
