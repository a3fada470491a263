-- One row per table: the fingerprint of the SQL that filled it.
SELECT
    name,
    fingerprint,
    layout_version
FROM provenance_definitions
