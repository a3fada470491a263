INSERT INTO provenance_unrefreshed
FROM touched WHERE session_id NOT IN (FROM provenance_unrefreshed)
