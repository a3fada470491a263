-- One row: one checkpoint, in the columns of checkpoints.Checkpoint.
SELECT
    log, session_id, device, inode, line_offset, line_number, head_bytes, head_hash, tail_bytes,
    tail_hash, chain_hash, generation, log_size, log_mtime_ns, role, line_hash
FROM provenance_checkpoints
