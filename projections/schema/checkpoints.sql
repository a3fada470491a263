-- One row: one log, and how far it was read. role says whether its rows are in the tables
-- (projected), or another directory holds the same session (duplicate, fork).
CREATE TABLE provenance_checkpoints (
    log VARCHAR,
    session_id VARCHAR,
    device BIGINT,
    inode BIGINT,
    line_offset BIGINT,
    line_number BIGINT,
    head_bytes INTEGER,
    head_hash VARCHAR,
    tail_bytes INTEGER,
    tail_hash VARCHAR,
    chain_hash VARCHAR,
    generation INTEGER,
    log_size BIGINT,
    log_mtime_ns BIGINT,
    role VARCHAR,
    line_hash VARCHAR
)
