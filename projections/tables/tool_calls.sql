-- One row: one tool call, with its input and output.
-- Lines of schema 1.0.0 have no input_params: there, the details are the input.
SELECT
    coalesce(found[1], event_id) AS call_id,
    session_id,
    event_id,
    coalesce(found[2], action_type) AS tool_type,
    coalesce(found[3], tool) AS tool_name,
    coalesce(input_params, details) AS input_params,
    output_data,
    TRY_CAST(found[4] AS INTEGER) AS output_size_bytes,
    timestamp AS call_time,
    duration_ms,
    TRY_CAST(found[5] AS BOOLEAN) AS cache_hit,
    found[6] AS cache_key,
    found[7] AS cache_source,
    TRY_CAST(found[8] AS INTEGER) AS rate_limit_delay_ms,
    TRY_CAST(found[9] AS INTEGER) AS retry_count,
    status = 'success' AS success,
    coalesce(found[10], json_extract_string(error, '$.code')) AS error_type,
    json_extract_string(error, '$.message') AS error_message,
    status,
    action_type,
    tool,
    sequence_number,
    found[11] AS agent_id,
    found[12] AS agent_type,
    found[13] AS model,
    found[14] AS message_id
FROM (
    SELECT
        *,
        json_extract_string(details, [
            '$.call_id', '$.tool_type', '$.tool_name', '$.output_size_bytes', '$.cache_hit',
            '$.cache_key', '$.cache_source', '$.rate_limit_delay_ms', '$.retry_count',
            '$.error_type', '$.agent_id', '$.agent_type', '$.model', '$.message_id'
        ]) AS found
    FROM batch
    WHERE event_type = 'tool_call'
)
