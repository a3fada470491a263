-- One row per session of $1 with decisions: how many, and the first $2 in the order of the log.
SELECT
    session_id,
    count(*) AS total,
    list(
        {
            'sequence_number': sequence_number,
            'decision_type': decision_type,
            'decision_point': left(decision_point, 2000),
            'branch_taken': left(branch_taken, 2000),
            'branches_available': CASE
                WHEN length(branches_available::VARCHAR) <= 4000 THEN branches_available::VARCHAR
            END,
            'reason': left(reason, 2000)
        }
        ORDER BY sequence_number, event_id, decision_id
    )[1:$2] AS entries
FROM provenance_decisions
WHERE session_id IN (SELECT unnest($1::VARCHAR[]))
GROUP BY session_id
ORDER BY session_id
