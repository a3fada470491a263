-- One row per session and type of action: how many distinct commands or patterns, and the first
-- $1 in the order of first use.
WITH subjects AS (
    SELECT
        session_id,
        action_type,
        subject,
        min(sequence_number) AS first_use
    FROM touched_calls
    WHERE action_type IN ('search', 'execute') AND subject IS NOT NULL
    GROUP BY session_id, action_type, subject
)

SELECT
    session_id,
    action_type,
    count(*) AS total,
    list({'subject': subject} ORDER BY first_use, subject)[1:$1] AS entries
FROM subjects
GROUP BY session_id, action_type
ORDER BY session_id, action_type
