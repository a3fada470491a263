-- One row: one incident that tells of the past, in the order in which they were noticed.
SELECT kind, log, session_id, other_log, line_number, line_offset, detail
FROM provenance_incidents
WHERE kind NOT IN ('duplicate', 'fork')
ORDER BY rowid
