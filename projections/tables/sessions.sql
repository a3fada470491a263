-- One row: one session, of those in the relation touched.
-- The one table that is not row-wise: for the sessions a batch touched it is selected anew from
-- the rows that are already in the other tables. What ended a session is its last session_end, if
-- nothing but annotations followed it; a session that went on afterwards is open again.
WITH
own AS MATERIALIZED (
    SELECT
        session_id, event_id, event_type, event_name, timestamp, line_number, status, chained,
        CASE WHEN event_type = 'lifecycle' THEN details END AS lifecycle,
        CASE WHEN contains(details::VARCHAR, '"usage"') THEN details END AS metered,
        CASE WHEN event_type = 'log' AND event_name = 'user_prompt' THEN details END AS said
    FROM provenance_events
    WHERE session_id IN (FROM touched)
),
totals AS (
    SELECT
        session_id,
        arg_min(timestamp, line_number) AS start_time,
        max(timestamp) AS last_time,
        count(*) AS action_count,
        count(*) FILTER (WHERE status = 'failure') AS failure_count,
        count(*) FILTER (WHERE NOT chained) AS unchained_count,
        arg_min(lifecycle -> '$.session', line_number) FILTER (WHERE event_name = 'session_start')
            AS header,
        arg_min(json_extract_string(metered, '$.model'), line_number) AS first_model,
        arg_min(left(json_extract_string(said, '$.text'), 2000), line_number) FILTER (
            WHERE json_extract_string(said, '$.kind') = 'prompt'
        ) AS first_prompt,
        max(line_number) FILTER (WHERE event_type <> 'annotation')
            = max(line_number) FILTER (WHERE event_name = 'session_end' AND lifecycle IS NOT NULL)
            AS is_ended,
        arg_max({happened_at: timestamp, details: lifecycle}, line_number) FILTER (
            WHERE event_name = 'session_end' AND lifecycle IS NOT NULL
        ) AS last_end
    FROM own
    GROUP BY session_id
),
-- One message of a model is often written in several pieces that repeat its usage: the last counts.
messages AS (
    SELECT
        session_id,
        arg_max(
            json_extract_string(metered, [
                '$.usage.input_tokens', '$.usage.output_tokens',
                '$.usage.cache_creation_input_tokens', '$.usage.cache_read_input_tokens'
            ]),
            line_number
        ) AS usage
    FROM own
    WHERE metered IS NOT NULL AND json_exists(metered, '$.usage')
    GROUP BY session_id, coalesce(json_extract_string(metered, '$.message_id'), event_id)
),
figures AS (
    SELECT
        session_id,
        sum(tool_call_count)::BIGINT AS tool_call_count,
        sum(decision_count)::BIGINT AS decision_count,
        sum(quarantined_count)::BIGINT AS quarantined_count,
        TRY_CAST(sum(TRY_CAST(usage[1] AS BIGINT)) AS BIGINT) AS input_tokens,
        TRY_CAST(sum(TRY_CAST(usage[2] AS BIGINT)) AS BIGINT) AS output_tokens,
        TRY_CAST(sum(TRY_CAST(usage[3] AS BIGINT)) AS BIGINT) AS cache_creation_tokens,
        TRY_CAST(sum(TRY_CAST(usage[4] AS BIGINT)) AS BIGINT) AS cache_read_tokens
    FROM (
        SELECT session_id, count(DISTINCT call_id) AS tool_call_count
        FROM provenance_tool_calls WHERE session_id IN (FROM touched) GROUP BY session_id
        UNION ALL BY NAME
        SELECT session_id, count(*) AS decision_count
        FROM provenance_decisions WHERE session_id IN (FROM touched) GROUP BY session_id
        UNION ALL BY NAME
        SELECT session_id, count(*) AS quarantined_count
        FROM provenance_quarantine WHERE session_id IN (FROM touched) GROUP BY session_id
        UNION ALL BY NAME
        SELECT session_id, usage FROM messages
    )
    GROUP BY session_id
)
SELECT
    session_id,
    coalesce(json_extract_string(header, '$.agent_type'), 'unknown') AS agent_type,
    json_extract_string(header, '$.agent_version') AS agent_version,
    coalesce(nullif(json_extract_string(header, '$.query'), ''), first_prompt, '') AS query,
    nullif(header -> '$.kwargs', 'null'::JSON) AS kwargs,
    nullif(header -> '$.user_context', 'null'::JSON) AS user_context,
    start_time,
    CASE WHEN is_ended THEN last_end.happened_at END AS end_time,
    TRY_CAST(epoch_ms(end_time) - epoch_ms(start_time) AS INTEGER) AS duration_ms,
    CASE WHEN is_ended
        THEN TRY_CAST(json_extract_string(last_end.details, '$.success') AS BOOLEAN)
    END AS success,
    CASE WHEN is_ended THEN nullif(last_end.details -> '$.result_summary', 'null'::JSON) END
        AS result_summary,
    CASE WHEN is_ended THEN json_extract_string(last_end.details, '$.error_message') END
        AS error_message,
    json_extract_string(header, '$.user_context.python_version') AS python_version,
    nullif(header -> '$.user_context.dependencies', 'null'::JSON) AS dependencies,
    json_extract_string(header, '$.user_context.db_path') AS db_path,
    json_extract_string(header, '$.parent_session_id') AS parent_session_id,
    coalesce(TRY_CAST(json_extract_string(header, '$.depth') AS INTEGER), 0) AS depth,
    start_time AS created_at,
    log,
    coalesce(json_extract_string(header, '$.model'), first_model) AS model,
    json_extract_string(header, '$.project') AS project,
    nullif(header -> '$.goals', 'null'::JSON) AS goals,
    nullif(header -> '$.source', 'null'::JSON) AS source,
    CASE
        WHEN success THEN 'success'
        WHEN success = false THEN 'failure'
        WHEN json_type(header, '$.source') = 'OBJECT' THEN 'imported'
        WHEN is_ended THEN 'failure'
        ELSE 'open'
    END AS state,
    last_time,
    coalesce(action_count, 0) AS action_count,
    coalesce(tool_call_count, 0) AS tool_call_count,
    coalesce(decision_count, 0) AS decision_count,
    coalesce(failure_count, 0) AS failure_count,
    coalesce(unchained_count, 0) AS unchained_count,
    coalesce(quarantined_count, 0) AS quarantined_count,
    coalesce(input_tokens, 0) AS input_tokens,
    coalesce(output_tokens, 0) AS output_tokens,
    coalesce(cache_creation_tokens, 0) AS cache_creation_tokens,
    coalesce(cache_read_tokens, 0) AS cache_read_tokens,
    logs.line_number AS log_lines,
    logs.line_offset AS log_bytes,
    logs.line_hash AS log_head,
    CASE WHEN is_ended THEN json_extract_string(last_end.details, '$.git_commit_after') END
        AS git_commit_after
FROM provenance_checkpoints AS logs
LEFT JOIN totals USING (session_id)
LEFT JOIN figures USING (session_id)
WHERE logs.role = 'projected' AND logs.session_id IN (FROM touched)
