-- The tool calls of session $1, in the order of the log.
SELECT *
FROM provenance_tool_calls
WHERE session_id = $1::VARCHAR
ORDER BY sequence_number, event_id, call_id
