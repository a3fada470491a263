-- A log may for a moment have two checkpoints, of two sessions, while two directories swap their
-- names: so the key is the pair.
DELETE FROM provenance_checkpoints
WHERE (session_id, log) IN (SELECT (session_id, log) FROM arrived_checkpoints)
