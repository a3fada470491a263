-- One row: one table, and the fingerprint of the SQL that filled it.
CREATE TABLE provenance_definitions (
    name VARCHAR,
    fingerprint VARCHAR,
    layout_version INTEGER
)
