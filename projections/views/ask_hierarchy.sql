-- One row per session below $1, and that one itself at level 0, to any depth.
-- A session names one parent, so on the way down only $1 itself can come again, by a parent that
-- is one of its own descendants: without it there is no cycle left.
WITH RECURSIVE tree AS (
    SELECT
        session_id,
        0 AS level
    FROM provenance_sessions
    WHERE session_id = $1::VARCHAR
    UNION ALL
    SELECT
        child.session_id,
        tree.level + 1 AS level
    FROM tree
    INNER JOIN provenance_sessions AS child ON child.parent_session_id = tree.session_id
    WHERE child.session_id <> $1::VARCHAR
)

SELECT
    s.session_id,
    s.agent_type,
    s.query,
    s.parent_session_id,
    s.depth,
    s.duration_ms,
    s.success,
    tree.level
FROM tree
INNER JOIN provenance_sessions AS s ON s.session_id = tree.session_id
ORDER BY tree.level, s.session_id
