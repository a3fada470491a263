-- One row: what the whole store holds.
SELECT
    count(*) AS session_count,
    count(*) FILTER (state = 'open') AS open_count,
    count(*) FILTER (state = 'failure') AS failed_session_count,
    min(start_time) AS first_time,
    max(last_time) AS last_time,
    coalesce(sum(action_count), 0)::BIGINT AS action_count,
    coalesce(sum(tool_call_count), 0)::BIGINT AS tool_call_count,
    coalesce(sum(decision_count), 0)::BIGINT AS decision_count,
    coalesce(sum(failure_count), 0)::BIGINT AS failure_count,
    coalesce(sum(unchained_count), 0)::BIGINT AS unchained_count,
    coalesce(sum(quarantined_count), 0)::BIGINT AS quarantined_count,
    coalesce(sum(input_tokens), 0)::BIGINT AS input_tokens,
    coalesce(sum(output_tokens), 0)::BIGINT AS output_tokens,
    coalesce(sum(cache_creation_tokens), 0)::BIGINT AS cache_creation_tokens,
    coalesce(sum(cache_read_tokens), 0)::BIGINT AS cache_read_tokens,
    coalesce(sum(log_lines), 0)::BIGINT AS log_lines,
    coalesce(sum(log_bytes), 0)::BIGINT AS log_bytes
FROM provenance_sessions
