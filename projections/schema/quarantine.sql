-- One row: one line that no table could take, with its place and the reason.
CREATE TABLE provenance_quarantine (
    session_id VARCHAR,
    log VARCHAR,
    line_number BIGINT,
    line_offset BIGINT,
    line_bytes BIGINT,
    reason VARCHAR,
    detail VARCHAR,
    sha256 VARCHAR
)
