-- One row: one session whose derived files (manifest, summary, indices) are older than its rows.
CREATE TABLE provenance_unrefreshed (session_id VARCHAR)
