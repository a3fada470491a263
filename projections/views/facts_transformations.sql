-- One row per type of transformation in the sessions $1, in the order of first use.
SELECT
    session_id,
    coalesce(transformation_type, 'unknown') AS transformation_type,
    count(*) AS transformations,
    min(sequence_number) AS first_use
FROM provenance_transformations
WHERE session_id IN (SELECT unnest($1::VARCHAR[]))
GROUP BY ALL
ORDER BY session_id, first_use, transformation_type
