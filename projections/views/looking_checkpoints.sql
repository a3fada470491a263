-- One row per log that was ever read: how far, and what the log was like then.
SELECT *
FROM provenance_checkpoints
ORDER BY log
