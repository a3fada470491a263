-- The six indexes of schema 1.0.0. They are made after a bulk load, not before.
CREATE INDEX idx_prov_sessions_agent ON provenance_sessions (agent_type, created_at);
CREATE INDEX idx_prov_events_session ON provenance_events (session_id, sequence_number);
CREATE INDEX idx_prov_tools_session ON provenance_tool_calls (session_id, call_time);
CREATE INDEX idx_prov_decisions_session ON provenance_decisions (session_id, timestamp);
CREATE INDEX idx_prov_transformations_session ON provenance_transformations (session_id, timestamp);
CREATE INDEX idx_prov_entity_links_entity ON provenance_entity_links (entity_table, entity_id);
