-- One row: one decision, be it an event of its own or made through a tool call.
-- Lines of schema 1.0.0 name the branches options_considered and the reason rationale.
SELECT
    coalesce(found[1], event_id) AS decision_id,
    session_id,
    event_id,
    coalesce(found[2], event_name) AS decision_type,
    coalesce(found[3], tool) AS decision_point,
    coalesce(details -> '$.input_values', input_params, '{}'::JSON) AS input_values,
    found[4] AS condition_evaluated,
    coalesce(found[5], found[6]) AS branch_taken,
    coalesce(details -> '$.branches_available', details -> '$.options_considered')
        AS branches_available,
    coalesce(found[7], found[8]) AS reason,
    timestamp,
    sequence_number,
    status,
    found[9] AS agent_id
FROM (
    SELECT
        *,
        json_extract_string(details, [
            '$.decision_id', '$.decision_type', '$.decision_point', '$.condition_evaluated',
            '$.branch_taken', '$.user_input', '$.reason', '$.rationale', '$.agent_id'
        ]) AS found
    FROM batch
    WHERE event_type = 'decision' OR json_exists(details, '$.decision_point')
)
