-- What the directories hold now replaces what they held before; what happened stays.
DELETE FROM provenance_incidents
WHERE kind IN ('duplicate', 'fork') AND session_id IN (FROM settled)
