-- One row per model: the tokens of its messages. One message is often written in several pieces
-- that repeat its usage, so the last piece stands for the message, as in provenance_sessions.
WITH messages AS (
    SELECT max_by(
        json_extract_string(details, [
            '$.model', '$.usage.input_tokens', '$.usage.output_tokens',
            '$.usage.cache_creation_input_tokens', '$.usage.cache_read_input_tokens'
        ]),
        line_number
    ) AS found
    FROM provenance_events
    WHERE contains(details::VARCHAR, '"usage"') AND json_exists(details, '$.usage')
    GROUP BY session_id, coalesce(json_extract_string(details, '$.message_id'), event_id)
)

SELECT
    found[1] AS model,
    count(*) AS message_count,
    sum(try_cast(found[2] AS BIGINT))::BIGINT AS input_tokens,
    sum(try_cast(found[3] AS BIGINT))::BIGINT AS output_tokens,
    sum(try_cast(found[4] AS BIGINT))::BIGINT AS cache_creation_tokens,
    sum(try_cast(found[5] AS BIGINT))::BIGINT AS cache_read_tokens
FROM messages
GROUP BY model
ORDER BY output_tokens DESC NULLS LAST, model
