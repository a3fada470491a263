"""`provlog ask`: the JSON is what the methods return, and the pages are for people."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from lab_cases import DESIGN, make_lab
from looking_cases import Provlog, run_provlog

from projections.ask_pages import hierarchy_page
from projections.printing import json_text
from projections.queries import ProvenanceQueries
from projections.rows import Rows

if TYPE_CHECKING:
    from provenance_log.store import Store


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of `lab_cases`, which no test changes."""
    return make_lab(tmp_path_factory.mktemp("lab"))


CONTRACT: dict[str, tuple[str, tuple[Any, ...], list[str]]] = {
    "recent": ("get_recent_sessions", ("designer", 1), ["--agent", "designer", "--limit", "1"]),
    "trace": ("get_session_trace", (DESIGN,), [DESIGN]),
    "agents": ("get_agent_statistics", (None, None), ["--all-time"]),
    "tools": ("get_tool_call_statistics", (10_000,), ["--days", "10000"]),
    "decisions": (
        "get_decision_patterns",
        ("reader", None),
        ["--agent", "reader", "--all-time"],
    ),
    "entity": ("find_entity_provenance", ("ingredients", "glucose"), ["ingredients", "glucose"]),
    "hierarchy": ("get_session_hierarchy", ("aaaa",), ["aaaa"]),
    "compare": ("compare_sessions", (DESIGN, "latest"), [DESIGN, "latest"]),
}


@pytest.fixture
def provlog(capsys: pytest.CaptureFixture[str]) -> Provlog:
    return partial(run_provlog, capsys)


def plain(answer: Any) -> Any:
    if isinstance(answer, Rows):
        return answer.rows
    return {key: value.rows if isinstance(value, Rows) else value for key, value in answer.items()}


@pytest.mark.parametrize("name", CONTRACT)
def test_a_command_prints_as_json_what_the_method_returns(
    provlog: Provlog, lab: Store, name: str
) -> None:
    method, given, arguments = CONTRACT[name]
    answer = plain(getattr(ProvenanceQueries(lab), method)(*given))

    ran = provlog(lab, "ask", name, *arguments, "--json")

    assert (ran.code, ran.err) == (0, "")
    assert ran.json == orjson.loads(json_text(answer))
    assert ran.json


PAGES = {
    "recent": """\
session   start (UTC)       agent     success  duration  query           error
cccc-rea  2026-01-31 11:00  reader                       what is there?
bbbb-ret  2026-01-31 10:00  designer  no          4.0 s  a medium
aaaa-des  2026-01-31 10:00  designer  yes        10.0 s  a medium
""",
    "agents --all-time": """\
agent     sessions  successful  failed  average  shortest  longest
designer         2           1       1    7.0 s     4.0 s   10.0 s
reader           1           0       0
""",
    "tools --all-time": """\
type   tool    calls  successful  failed  average  hits  misses
query  KEGG        3           2       1    10 ms     1       1
query  Search      2           1       0    50 ms     0       0
""",
    "decisions --all-time --agent reader": """\
agent   decision  taken    count
reader  choice    glucose      1
""",
    "entity ingredients glucose": """\
time (UTC)        link  session   agent     success  duration  query
2026-01-31 10:00  read  bbbb-ret  designer  no          4.0 s  a medium
2026-01-31 10:00  cite  aaaa-des  designer  yes        10.0 s  a medium
2026-01-31 10:00  read  aaaa-des  designer  yes        10.0 s  a medium
""",
    "hierarchy aaaa": """\
session       level  agent     success  duration  query
aaaa-des          0  designer  yes        10.0 s  a medium
  bbbb-ret        1  designer  no          4.0 s  a medium
    cccc-rea      2  reader                       what is there?
""",
    "compare aaaa bbbb": """\
            first     second    difference
session     aaaa-des  bbbb-ret
agent       designer  designer  same
success     yes       no
duration    10.0 s    4.0 s     +6,000 ms
inputs                          same
events                          +7
tool calls                      +3
decisions                       +3
""",
    "agents --all-time --csv": """\
agent_type,executions,avg_duration_ms,max_duration_ms,min_duration_ms,successful,failed
designer,2,7000.0,10000,4000,1,1
reader,1,,,,0,0
""",
}


@pytest.mark.parametrize("arguments", PAGES)
def test_a_command_prints_a_page_for_people(provlog: Provlog, lab: Store, arguments: str) -> None:
    ran = provlog(lab, "ask", *arguments.split())

    assert (ran.code, ran.err) == (0, "")
    assert ran.out == PAGES[arguments]


TRACE = """\
events (3)
action  time      event      name           status   duration
     1  10:00:00  lifecycle  session_start  success
     2  10:00:07  tool_call  KEGG           success     10 ms
     3  10:00:04  lifecycle  session_end    failure

tool calls (1)
action  tool  status   duration  input
     2  KEGG  success     10 ms  {"compound":"C00031"}

entity links (1)
action  table        entity   link
     2  ingredients  glucose  read
"""


def test_trace_prints_each_table_with_how_many_rows_it_has(provlog: Provlog, lab: Store) -> None:
    facts, tables = provlog(lab, "ask", "trace", "bbbb").out.split("\n\n", 1)

    assert facts.startswith("session      bbbb-retry\n")
    assert tables == TRACE


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("recent --agent nobody", "there are no such sessions"),
        ("tools", "there are no tool calls in the last 7 days; use --days or --all-time"),
        ("agents --agent nobody --all-time", "there are no such sessions"),
        ("entity a b", "no session is linked to b of a"),
    ],
)
def test_an_empty_answer_says_so(provlog: Provlog, lab: Store, arguments: str, said: str) -> None:
    ran = provlog(lab, "ask", *arguments.split())

    assert (ran.code, ran.out, ran.err) == (0, "", f"{said}\n")
    assert provlog(lab, "ask", *arguments.split(), "--json").out == "[]\n"


def test_a_hierarchy_is_read_as_a_tree_and_a_deep_one_stays_narrow() -> None:
    """By level and id in the answer; on the page each session stands above those it started."""
    down = [f"{level:02d}" for level in range(1, 40)]
    parents = dict(zip(down, ["00", *down], strict=False)) | {"0x": "00", "1y": "0x"}
    levels = {name: int(name) for name in down} | {"00": 0, "0x": 1, "1y": 2}
    columns = ("session_id", "agent_type", "query", "parent_session_id", "duration_ms", "success")
    cells = tuple(
        (name, "t", "", parents.get(name), None, None, levels[name])
        for name in sorted(levels, key=lambda name: (levels[name], name))
    )
    rows = Rows((*columns, "level"), ("VARCHAR",) * 7, cells)

    page = hierarchy_page(rows, {name: name for name in levels}).splitlines()

    assert [line.split()[0] for line in page[1:]] == ["00", *down, "0x", "1y"]
    assert [line.index(line.split()[0]) for line in page[1:5]] == [0, 2, 4, 6]
    assert max(map(len, page)) < 80


def test_one_form_of_output_at_a_time(provlog: Provlog, lab: Store) -> None:
    ran = provlog(lab, "ask", "tools", "--json", "--csv")

    assert ran.code == 2
    assert "exclude each other" in ran.err
