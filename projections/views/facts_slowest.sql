-- One row per session: the $1 tool calls that took longest, the slowest first.
SELECT
    session_id,
    max_by(
        {
            'sequence_number': sequence_number,
            'tool': tool,
            'duration_ms': duration_ms,
            'subject': subject
        },
        {'ms': duration_ms, 'earlier': -sequence_number, 'event_id': event_id},
        $1
    ) AS entries
FROM touched_calls
WHERE duration_ms > 0
GROUP BY session_id
ORDER BY session_id
