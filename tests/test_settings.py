"""What a project sets in config.yaml and action-types.yaml, and what is refused with its place."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import resources

import pytest

from provenance_log.errors import SettingsInvalid
from provenance_log.format import ACTION_TYPES
from provenance_log.redact import RedactionSettings
from provenance_log.settings import (
    CACHE_NAME,
    TAXONOMY_NAME,
    Settings,
    default_settings,
    load_settings,
)
from provenance_log.store import CONFIG_NAME, Store

CONFIG = r"""
database: data/x.duckdb
durability: disk
detail_level: full
redaction:
  patterns:
    lab-token: 'LAB-[0-9A-F]{8}'
  exclude_rules: [jwt]
  exclude_patterns: ['EXAMPLE.*']
  secret_keys: [pin_code]
claude_code:
  follow: true
"""


def test_store_that_sets_nothing_has_the_defaults(store: Store) -> None:
    """The taxonomy that `provlog init` writes is the one of the program."""
    assert load_settings(store.root) == default_settings()
    (store.root / TAXONOMY_NAME).unlink()
    assert load_settings(store.root) == default_settings()


def test_what_is_set_is_read_and_the_rest_keeps_its_default(store: Store) -> None:
    (store.root / CONFIG_NAME).write_text(CONFIG)
    expected = Settings(
        taxonomy=default_settings().taxonomy,
        redaction=RedactionSettings(
            patterns=(("lab-token", "LAB-[0-9A-F]{8}"),),
            excluded_rules=("jwt",),
            excluded_patterns=("EXAMPLE.*",),
            secret_keys=("pin_code",),
        ),
        durability="disk",
        detail_level="full",
        follows_claude_code=True,
    )

    assert load_settings(store.root) == expected
    assert load_settings(store.root) == expected, "as the cache has it"


def test_comments_alone_set_nothing(store: Store) -> None:
    (store.root / CONFIG_NAME).write_text("# nothing yet\n---\n\n")

    assert load_settings(store.root) == default_settings()


def test_changed_file_is_read_again_and_an_unchanged_one_needs_no_yaml(store: Store) -> None:
    (store.root / CONFIG_NAME).write_text("durability: disk\n")
    assert load_settings(store.root).durability == "disk"
    (store.root / CONFIG_NAME).write_text("durability: process\n")
    assert load_settings(store.root).durability == "process"

    script = (
        "import sys\nfrom pathlib import Path\nfrom provenance_log.settings import load_settings\n"
        f"load_settings(Path({str(store.root)!r}))\nprint('yaml' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"files":[],"settings":{}}'])
def test_cache_that_somebody_else_wrote_is_passed_over(store: Store, content: bytes) -> None:
    (store.root / CACHE_NAME).write_bytes(content)

    assert load_settings(store.root) == default_settings()


def test_store_that_can_not_be_written_is_read_all_the_same(store: Store) -> None:
    (store.root / CACHE_NAME).mkdir()

    assert load_settings(store.root) == default_settings()


INVALID = {
    "durability: fast\n": "durability is not one of process, disk",
    "detail_level: 3\n": "detail_level is not one of minimal, standard, full",
    "redaction: [a]\n": "redaction is no mapping of keys to values",
    "redaction:\n  enabled: no\n": "redaction.enabled is neither true nor false",
    "redaction:\n  patterns: [a]\n": "redaction.patterns is no mapping of names",
    "redaction:\n  patterns:\n    x: '('\n": "redaction.patterns.x is no regular expression",
    "redaction:\n  exclude_patterns: ['[']\n": "redaction.exclude_patterns is no regular",
    "redaction:\n  secret_keys: pin\n": "redaction.secret_keys is no list of texts",
    "redaction:\n  secret_keys: [__]\n": "redaction.secret_keys holds '__', in which is no letter",
    "a: 1\na: 2\n": "line 2: the key 'a' is there twice",
    "a: !!python/name:os\n": "line 1: the tag ",
}


@pytest.mark.parametrize("text", INVALID)
def test_setting_that_is_none_is_refused_by_name(store: Store, text: str) -> None:
    (store.root / CONFIG_NAME).write_text(text)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(store.root)

    assert INVALID[text] in str(caught.value)
    assert str(caught.value).startswith(str(store.root / CONFIG_NAME))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("action_types:\n  ponder:\n    tools: [Think]\n", "action_types.ponder is not one of"),
        ("action_types:\n  read:\n    tools: Read\n", "action_types.read.tools is no list"),
        ("event_types:\n  log: ponder\n", "event_types.log is not one of"),
        ("event_names:\n  - {words: [], tool: X}\n", "an entry lacks words or tool"),
        ("event_names:\n  - x\n", "event_names is no mapping"),
    ],
)
def test_taxonomy_that_is_none_is_refused_by_name(store: Store, text: str, told: str) -> None:
    (store.root / TAXONOMY_NAME).write_text(text)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(store.root)

    assert told in str(caught.value)


def test_file_that_is_no_text_or_far_too_large_is_refused(store: Store) -> None:
    path = store.root / CONFIG_NAME
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(SettingsInvalid, match="byte 3: not UTF-8"):
        load_settings(store.root)
    with path.open("wb") as file:
        os.truncate(file.fileno(), 2**20 + 1)
    with pytest.raises(SettingsInvalid, match="larger than 1048576 bytes"):
        load_settings(store.root)


def test_project_extends_the_taxonomy_section_by_section(store: Store) -> None:
    """A section that the file has is the project's; one that it lacks is the program's."""
    (store.root / TAXONOMY_NAME).write_text(
        "action_types:\n  query:\n    tools: [MyAPI, mcp__lab__*]\n"
    )
    taxonomy = load_settings(store.root).taxonomy

    assert [taxonomy.type_of_tool(tool) for tool in ("MyAPI", "mcp__lab__go", "Read")] == [
        *("query", "query", None),
    ]
    assert taxonomy.tool_of_event("kegg.get_pathway") == "KEGGPathwayAPI"


def test_every_action_type_has_tools_and_every_tool_has_one_type() -> None:
    template = resources.files("provenance_log") / "templates" / TAXONOMY_NAME
    taxonomy = default_settings().taxonomy

    assert set(taxonomy.tools.values()) == set(ACTION_TYPES)
    listed = [line for line in template.read_text("utf-8").splitlines() if "  tools: [" in line]
    assert sum(line.count(",") + 1 for line in listed) == len(taxonomy.tools)


@pytest.mark.parametrize(
    ("event_name", "tool"),
    [
        ("KEGG.get_pathway", "KEGGPathwayAPI"),
        ("api.biocyc_lookup", "BioCycAPI"),
        ("ncbi_search", "NCBIGenomeAPI"),
        ("load_genome", "NCBIGenomeAPI"),
        ("chebi", "ChEBIAPI"),
        ("equilibrator_dg", "EquilibratorAPI"),
        ("media_optimization_run", "MediaOptimizationAgent"),
        ("formulation of media", "MediaFormulationAgent"),
        ("growth_prediction", "GrowthPredictionAgent"),
        ("api.pubchem", "PubChemAPI"),
        ("pubmed_fetch", "PubMedAPI"),
        ("database_query", "DuckDB"),
        ("sql_template_match", "SQLTemplateMatch"),
        ("sql_run", "SQLAgent"),
        ("media", "MediaAgent"),
        ("agent_start", "AgentExecution"),
        ("bcf_estimate", "ChemicalCalculation"),
        ("transform_rows", "DataAggregation"),
        ("route_query", "AgentRouter"),
        ("something_else", "something_else"),
    ],
)
def test_tool_of_an_event_is_told_by_words_in_its_name(event_name: str, tool: str) -> None:
    """The names that the predecessor knew lead to the tools that it wrote."""
    assert default_settings().taxonomy.tool_of_event(event_name) == tool


def test_type_of_an_event_is_that_of_its_tool_else_of_its_kind() -> None:
    taxonomy = default_settings().taxonomy

    assert taxonomy.type_of_event("tool_call", "Read") == "read"
    assert taxonomy.type_of_event("tool_call", "KEGGPathwayAPI") == "query"
    assert taxonomy.type_of_event("transformation", "DataAggregation") == "analyze"
    assert taxonomy.type_of_event("never heard of", "x") == "execute"
