-- One row: how many sessions have a manifest or a summary that is older than their rows.
SELECT count(DISTINCT session_id) AS session_count
FROM provenance_unrefreshed
