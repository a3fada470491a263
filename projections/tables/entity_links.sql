-- One row: one element of an action's entity_links.
-- link_id keeps the INTEGER of schema 1.0.0; it is a hash of where the link stands, so that it is
-- the same in every rebuild. Two links may share one (31 bits): the place itself is unique.
SELECT
    (md5_number_lower(concat_ws('/', session_id, line_number, link_number)) & 2147483647)::INTEGER
        AS link_id,
    session_id,
    event_id,
    json_extract_string(link, '$.entity_table') AS entity_table,
    json_extract_string(link, '$.entity_id') AS entity_id,
    json_extract_string(link, '$.link_type') AS link_type,
    timestamp,
    sequence_number,
    link_number
FROM (
    SELECT
        *,
        unnest(json_extract(entity_links, '$[*]')) AS link,
        unnest(range(1, json_array_length(entity_links)::BIGINT + 1))::INTEGER AS link_number
    FROM batch
    WHERE entity_links IS NOT NULL
)
