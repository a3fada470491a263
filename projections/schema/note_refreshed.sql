-- $1 are the sessions whose files could not be written.
DELETE FROM provenance_unrefreshed WHERE NOT list_contains($1::VARCHAR[], session_id)
