"""A database of schema 1.0.0, as the predecessor's migration script left it, taken over by `init`.

Its tables hold each other by foreign keys and have the index names that ours have too; beside them
stand the tables of the domain, which are none of our business.
"""

from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
from looking_cases import Provlog, record, run_provlog, tool_call

from provenance_log.cli import run
from provenance_log.store import Store, open_store

SESSION = "FOREIGN KEY (session_id) REFERENCES provenance_sessions(session_id)"
SCHEMA_1_0_0 = f"""
CREATE TABLE provenance_sessions (
    session_id VARCHAR PRIMARY KEY, agent_type VARCHAR NOT NULL, agent_version VARCHAR,
    query TEXT NOT NULL, kwargs JSON, user_context JSON, start_time TIMESTAMP NOT NULL,
    end_time TIMESTAMP, duration_ms INTEGER, success BOOLEAN, result_summary JSON,
    error_message TEXT, python_version VARCHAR, dependencies JSON, db_path VARCHAR,
    parent_session_id VARCHAR, depth INTEGER DEFAULT 0,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (parent_session_id) REFERENCES provenance_sessions(session_id));
CREATE TABLE provenance_events (
    event_id VARCHAR PRIMARY KEY, session_id VARCHAR NOT NULL, event_type VARCHAR NOT NULL,
    event_name VARCHAR NOT NULL, timestamp TIMESTAMP NOT NULL, sequence_number INTEGER NOT NULL,
    details JSON NOT NULL, duration_ms INTEGER, related_event_id VARCHAR, {SESSION});
CREATE TABLE provenance_tool_calls (
    call_id VARCHAR PRIMARY KEY, session_id VARCHAR NOT NULL, event_id VARCHAR NOT NULL,
    tool_type VARCHAR NOT NULL, tool_name VARCHAR NOT NULL, input_params JSON NOT NULL,
    output_data JSON, output_size_bytes INTEGER, call_time TIMESTAMP NOT NULL,
    duration_ms INTEGER, cache_hit BOOLEAN DEFAULT FALSE, cache_key VARCHAR, cache_source VARCHAR,
    rate_limit_delay_ms INTEGER, retry_count INTEGER DEFAULT 0, success BOOLEAN NOT NULL,
    error_type VARCHAR, error_message TEXT, {SESSION});
CREATE TABLE provenance_decisions (
    decision_id VARCHAR PRIMARY KEY, session_id VARCHAR NOT NULL, event_id VARCHAR NOT NULL,
    decision_type VARCHAR NOT NULL, decision_point VARCHAR NOT NULL, input_values JSON NOT NULL,
    condition_evaluated TEXT, branch_taken VARCHAR, branches_available JSON, reason TEXT,
    timestamp TIMESTAMP NOT NULL, {SESSION});
CREATE TABLE provenance_transformations (
    transformation_id VARCHAR PRIMARY KEY, session_id VARCHAR NOT NULL, event_id VARCHAR NOT NULL,
    transformation_type VARCHAR NOT NULL, transformation_name VARCHAR NOT NULL, input_schema JSON,
    input_sample JSON, input_size INTEGER, output_schema JSON, output_sample JSON,
    output_size INTEGER, method VARCHAR, parameters JSON, timestamp TIMESTAMP NOT NULL,
    duration_ms INTEGER, {SESSION});
CREATE TABLE provenance_entity_links (
    link_id INTEGER PRIMARY KEY, session_id VARCHAR NOT NULL, event_id VARCHAR,
    entity_table VARCHAR NOT NULL, entity_id VARCHAR NOT NULL, link_type VARCHAR NOT NULL,
    timestamp TIMESTAMP NOT NULL, {SESSION});
CREATE INDEX idx_prov_sessions_agent ON provenance_sessions(agent_type, created_at);
CREATE INDEX idx_prov_events_session ON provenance_events(session_id, sequence_number);
CREATE INDEX idx_prov_tools_session ON provenance_tool_calls(session_id, call_time);
CREATE INDEX idx_prov_decisions_session ON provenance_decisions(session_id, timestamp);
CREATE INDEX idx_prov_transformations_session
    ON provenance_transformations(session_id, timestamp);
CREATE INDEX idx_prov_entity_links_entity ON provenance_entity_links(entity_table, entity_id);
CREATE TABLE media (media_id VARCHAR PRIMARY KEY, name VARCHAR UNIQUE);
CREATE TABLE media_ingredients (
    media_id VARCHAR REFERENCES media(media_id), ingredient VARCHAR, PRIMARY KEY (media_id));
CREATE INDEX idx_media_name ON media(name);
CREATE VIEW rich_media AS SELECT name FROM media WHERE name LIKE 'rich%';
INSERT INTO media VALUES ('m1', 'rich broth'), ('m2', 'minimal');
INSERT INTO media_ingredients VALUES ('m1', 'glucose');
"""
ROWS = """
INSERT INTO provenance_sessions (session_id, agent_type, query, start_time)
    VALUES ('old', 'GenMediaConcAgent', 'q', '2026-01-10 21:16:00');
INSERT INTO provenance_sessions (session_id, agent_type, query, start_time, parent_session_id)
    VALUES ('older', 'GenMediaConcAgent', 'q', '2026-01-10 21:17:00', 'old');
INSERT INTO provenance_events VALUES
    ('e', 'old', 'lifecycle', 'start', '2026-01-10 21:16:00', 1, '{}', NULL, NULL);
INSERT INTO provenance_entity_links VALUES
    (1, 'old', 'e', 'media', 'm1', 'read', '2026-01-10 21:16:00');
"""
DOMAIN = ("media", "media_ingredients", "rich_media")


@pytest.fixture
def provlog(capsys: pytest.CaptureFixture[str]) -> Provlog:
    return partial(run_provlog, capsys)


def tables_of(path: Path) -> dict[str, list[Any]]:
    """The rows of every table and view, in order."""
    with duckdb.connect(str(path), read_only=True) as database:
        names = database.execute(
            "SELECT table_name FROM information_schema.tables ORDER BY 1"
        ).fetchall()
        return {name: database.execute(f"FROM {name} ORDER BY ALL").fetchall() for (name,) in names}


@pytest.mark.parametrize("older_rows", [ROWS, ""], ids=["with rows", "empty"])
def test_init_takes_over_a_database_of_schema_1_0_0(
    provlog: Provlog,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    older_rows: str,
) -> None:
    """What the predecessor's migration script did: now `init`, and the first `project`."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data" / "microgrow.duckdb"
    path.parent.mkdir()
    with duckdb.connect(str(path)) as database:
        database.execute(SCHEMA_1_0_0 + older_rows)
    before = tables_of(path)

    assert run(["init", "--db", "data/microgrow.duckdb"]) == 0
    said = capsys.readouterr().out
    assert tables_of(path) == before, "init itself changes nothing in the database"
    assert said.endswith(
        f"the database {path} is there already; the next `provlog project`\n"
        "  makes the provenance_* tables in it, from the logs alone;\n"
        "  keeps rows that tables of these names have as provenance_before_*;\n"
        "  leaves all other tables as they are.\n"
    )

    store: Store = open_store(tmp_path)
    assert store.database == path
    links = [{"entity_table": "media", "entity_id": "m1", "link_type": "read"}]
    record(store, [tool_call("Read", {}, entity_links=links)], session_id="new", success=True)
    projected = provlog(store, "project")
    after = tables_of(path)

    kept = {name: rows for name, rows in before.items() if rows and name not in DOMAIN}
    older = {f"provenance_before_{name.removeprefix('provenance_')}" for name in kept}
    assert projected.code == 0
    assert all(name in projected.out for name in older)
    assert {name for name in after if "_before_" in name} == older
    for name, rows in kept.items():
        assert after[f"provenance_before_{name.removeprefix('provenance_')}"] == rows
    assert {name: after[name] for name in DOMAIN} == {name: before[name] for name in DOMAIN}
    assert [row[0] for row in after["provenance_sessions"]] == ["new"]
    assert [
        row["session_id"] for row in provlog(store, "ask", "entity", "media", "m1", "--json").json
    ] == ["new"]

    assert provlog(store, "rebuild", "--verify").code == 0
    assert tables_of(path) == after
    with duckdb.connect(str(path)) as database, pytest.raises(duckdb.ConstraintException):
        database.execute("INSERT INTO media VALUES ('m1', 'again')")
