-- One text: a line of JSON for each session, the oldest first; NULL where there is none. Times are
-- RFC 3339 in UTC, with microseconds where there are any.
SELECT string_agg(to_json(struct_pack(
        session_id := session_id,
        log := log,
        agent_type := agent_type,
        model := model,
        project := project,
        query := left(query, 200),
        start_time := replace(strftime(start_time, '%Y-%m-%dT%H:%M:%S.%fZ'), '.000000Z', 'Z'),
        end_time := replace(strftime(end_time, '%Y-%m-%dT%H:%M:%S.%fZ'), '.000000Z', 'Z'),
        last_time := replace(strftime(last_time, '%Y-%m-%dT%H:%M:%S.%fZ'), '.000000Z', 'Z'),
        duration_ms := duration_ms,
        state := state,
        success := success,
        parent_session_id := parent_session_id,
        depth := depth,
        action_count := action_count,
        tool_call_count := tool_call_count,
        decision_count := decision_count,
        failure_count := failure_count,
        input_tokens := input_tokens,
        output_tokens := output_tokens,
        cache_creation_tokens := cache_creation_tokens,
        cache_read_tokens := cache_read_tokens,
        log_lines := log_lines,
        log_bytes := log_bytes,
        log_head := log_head,
        unchained_count := unchained_count,
        quarantined_count := quarantined_count
    ))::VARCHAR || chr(10), '' ORDER BY start_time NULLS FIRST, session_id)
FROM provenance_sessions
