-- One row per session of $1 and table that it links to: how many entities, and the first $2 in
-- the order of first use.
WITH links AS (
    SELECT
        session_id,
        coalesce(entity_table, 'unknown') AS entity_table,
        entity_id,
        min(sequence_number) AS first_use
    FROM provenance_entity_links
    WHERE session_id IN (SELECT unnest($1::VARCHAR[])) AND entity_id IS NOT NULL
    GROUP BY ALL
)

SELECT
    session_id,
    entity_table,
    count(*) AS total,
    list({'entity_id': entity_id} ORDER BY first_use, entity_id)[1:$2] AS entries
FROM links
GROUP BY session_id, entity_table
ORDER BY session_id, min(first_use), entity_table
