-- One row: one transformation of data, with samples and sizes of what went in and came out.
SELECT
    coalesce(found[1], event_id) AS transformation_id,
    session_id,
    event_id,
    coalesce(found[2], action_type) AS transformation_type,
    coalesce(found[3], event_name) AS transformation_name,
    details -> '$.input_schema' AS input_schema,
    details -> '$.input_sample' AS input_sample,
    TRY_CAST(found[4] AS INTEGER) AS input_size,
    details -> '$.output_schema' AS output_schema,
    details -> '$.output_sample' AS output_sample,
    TRY_CAST(found[5] AS INTEGER) AS output_size,
    found[6] AS method,
    details -> '$.parameters' AS parameters,
    timestamp,
    duration_ms,
    sequence_number,
    status
FROM (
    SELECT
        *,
        json_extract_string(details, [
            '$.transformation_id', '$.transformation_type', '$.transformation_name',
            '$.input_size', '$.output_size', '$.method'
        ]) AS found
    FROM batch
    WHERE event_type = 'transformation'
)
