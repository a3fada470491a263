-- One row: something that should not happen to a log. duplicate and fork say what the directories
-- hold now; truncated, replaced, edited and gone say what was seen to happen.
CREATE TABLE provenance_incidents (
    kind VARCHAR,
    log VARCHAR,
    session_id VARCHAR,
    other_log VARCHAR,
    line_number BIGINT,
    line_offset BIGINT,
    detail VARCHAR
)
