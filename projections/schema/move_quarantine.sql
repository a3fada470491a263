-- The lines in quarantine are in the log that their session is projected from now.
UPDATE provenance_quarantine
SET log = logs.log
FROM provenance_checkpoints AS logs
WHERE
    logs.role = 'projected'
    AND logs.session_id = provenance_quarantine.session_id
    AND logs.log <> provenance_quarantine.log
    AND provenance_quarantine.session_id IN (FROM settled)
