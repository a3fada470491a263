-- One row per directory that holds, or held, a session: what a SESSION argument may mean.
-- A copy of a session has a row of its own, which leads to the same session.
SELECT
    s.session_id,
    c.log,
    s.start_time
FROM provenance_checkpoints AS c
INNER JOIN provenance_sessions AS s ON s.session_id = c.session_id
ORDER BY s.start_time DESC NULLS LAST, c.log DESC, s.session_id
