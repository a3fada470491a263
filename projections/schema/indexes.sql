-- The six indexes of schema 1.0.0, by name. They are made after a bulk load, not before.
-- DuckDB searches an index only if it has one column, and one has lacked rows after a replay of
-- the write-ahead log (DuckDB's issue 23788): so each has two. With few values in the second it
-- takes next to nothing; a time or a number there takes 10 to 50 bytes a row.
CREATE INDEX idx_prov_sessions_agent ON provenance_sessions (agent_type, created_at);
CREATE INDEX idx_prov_events_session ON provenance_events (session_id, event_type);
CREATE INDEX idx_prov_tools_session ON provenance_tool_calls (session_id, status);
CREATE INDEX idx_prov_decisions_session ON provenance_decisions (session_id, status);
CREATE INDEX idx_prov_transformations_session ON provenance_transformations (session_id, status);
CREATE INDEX idx_prov_entity_links_entity ON provenance_entity_links (entity_table, entity_id);
