"""Hooks go into settings.json and come out again; everything else keeps its bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance_log.claude_code.hook_settings import (
    ALL_EVENTS,
    EVENTS_OF_EVERY_VERSION,
    Before,
    events_known_to,
    has_ours,
    installed,
    recorder_command,
    uninstalled,
)
from provenance_log.errors import SettingsInvalid

PATH = Path("settings.json")
COMMAND = recorder_command(None)

WITH_OTHERS = """{
  "permissions": {
    "allow": ["Bash(git status)"]   ,
    "deny": [ ]
  },
  "hooks": {
    "PreToolUse": [
      { "matcher": "Bash", "hooks": [ {"type": "command", "command": "check.sh", "timeout": 5} ] }
    ],
    "Stop": [ ],
    "Notification": [{"hooks": []}]
  },
\t"env": {"A": "\\u00e9 é"}
}
"""
TEXTS = {
    "empty": "",
    "blank": " \n",
    "empty object": "{}",
    "spacious empty object": "{\n\n}\n",
    "one line": '{"model": "opus"}',
    "no newline at the end": '{\n    "model": "opus"\n}',
    "tabs": '{\n\t"model": "opus",\n\t"hooks": {}\n}\n',
    "windows": '{\r\n  "model": "opus"\r\n}\r\n',
    "other hooks": WITH_OTHERS,
    "empty hooks": '{"hooks": { }, "z": [1,2 ,3]}',
}


def handlers(text: str) -> dict[str, list[Any]]:
    hooks = json.loads(text)["hooks"]
    return {
        event: [one for group in groups for one in group["hooks"]]
        for event, groups in hooks.items()
    }


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("events", [EVENTS_OF_EVERY_VERSION, ALL_EVENTS], ids=["base", "all"])
def test_an_uninstall_gives_back_the_bytes_that_an_install_found(
    text: str, events: tuple[str, ...]
) -> None:
    new, before = installed(text, events, COMMAND, PATH)
    assert installed(new, events, COMMAND, PATH)[0] == new
    assert has_ours(new, PATH)
    assert set(events) <= set(handlers(new))
    assert uninstalled(new, before, PATH) == text
    assert not has_ours(text, PATH)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
groups = st.lists(
    st.just({"matcher": "x", "hooks": [{"type": "command", "command": "y"}]}), max_size=2
)
documents = st.dictionaries(st.text(max_size=5), values, max_size=3).flatmap(
    lambda rest: st.dictionaries(st.sampled_from(ALL_EVENTS), groups, max_size=3).map(
        lambda hooks: {**rest, "hooks": hooks}
    )
)


@given(documents, st.sampled_from([None, 1, 2, "\t"]), st.booleans())
def test_any_settings_come_back_and_keep_their_meaning_in_between(
    document: dict[str, Any], indent: Any, has_hooks: bool
) -> None:
    if not has_hooks:
        document.pop("hooks")
    text = json.dumps(document, indent=indent)
    new, before = installed(text, ALL_EVENTS, COMMAND, PATH)
    value = json.loads(new)
    ours = [value["hooks"][event].pop() for event in ALL_EVENTS]
    assert all(one["hooks"][0]["command"] == COMMAND for one in ours)
    others = {event: groups for event, groups in value.pop("hooks").items() if groups}
    assert value == {key: one for key, one in document.items() if key != "hooks"}
    assert others == {key: one for key, one in document.get("hooks", {}).items() if one}
    assert uninstalled(new, before, PATH) == text


def test_an_uninstall_after_other_changes_takes_out_our_entries_alone() -> None:
    new, before = installed('{"model": "opus"}', ["PreToolUse", "Stop"], COMMAND, PATH)
    value = json.loads(new)
    other = {"type": "command", "command": "theirs"}
    value["hooks"]["PreToolUse"][0]["hooks"].append(other)
    value["model"] = "sonnet"
    left = uninstalled(json.dumps(value, indent=4), before, PATH)
    assert left is not None
    assert json.loads(left) == {
        "model": "sonnet",
        "hooks": {"PreToolUse": [{"hooks": [other]}]},
    }


def test_an_uninstall_where_nothing_of_ours_is_changes_nothing() -> None:
    assert uninstalled(WITH_OTHERS, Before(), PATH) == WITH_OTHERS
    assert uninstalled("", Before(), PATH) == ""


def test_a_file_that_was_not_there_is_not_there_again() -> None:
    new, _ = installed("", ["Stop"], COMMAND, PATH)
    assert uninstalled(new, Before(was_there=False), PATH) is None
    other = new.replace("{", '{"model": "opus",', 1)
    assert uninstalled(other, Before(was_there=False), PATH) == '{"model": "opus"\n}\n'


def test_events_that_end_something_are_not_left_to_run_by_themselves() -> None:
    """In `-p` mode what still runs at the end is killed."""
    found = handlers(installed("{}", ALL_EVENTS, COMMAND, PATH)[0])
    waited_for = {event for event, ((handler),) in found.items() if "async" not in handler}
    assert waited_for == {"Stop", "StopFailure", "SubagentStop", "SessionEnd"}
    assert all(handler["timeout"] == 10 for ((handler),) in found.values())
    assert "WorktreeCreate" not in found


@pytest.mark.parametrize(
    ("version", "events"),
    [
        (None, EVENTS_OF_EVERY_VERSION),
        ("what?", EVENTS_OF_EVERY_VERSION),
        ("1.0.51 (Claude Code)", EVENTS_OF_EVERY_VERSION),
        ("2.1.239 (Claude Code)", EVENTS_OF_EVERY_VERSION),
        ("2.1.240 (Claude Code)", ALL_EVENTS),
        ("2.1.287", ALL_EVENTS),
        ("10.0.0", ALL_EVENTS),
    ],
)
def test_only_events_are_hooked_that_the_version_knows(
    version: str | None, events: tuple[str, ...]
) -> None:
    assert events_known_to(version) == events


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('{\n  // ours\n  "a": 1\n}', 2, "not JSON at column 3: a comment, which JSON has not"),
        ('{"a": 1,\n}', 2, "not JSON at column 1: Expecting property name"),
        ('{"a": 1', 1, "not JSON at column 8: Expecting ',' delimiter"),
        ("[]", None, "not a JSON object"),
        ('{"hooks": []}', None, "hooks is not an object"),
        ('{"hooks": {"Stop": {}}}', None, "hooks.Stop is not an array"),
        ('{"hooks": {}, "hooks": {}}', None, "has two members named hooks"),
    ],
)
def test_settings_that_can_not_be_changed_safely_are_refused_with_their_place(
    text: str, line: int | None, reason: str
) -> None:
    for change in (
        lambda: installed(text, ["Stop"], COMMAND, PATH),
        lambda: uninstalled(text, Before(), PATH),
    ):
        with pytest.raises(SettingsInvalid) as raised:
            change()
        assert (raised.value.line, raised.value.path) == (line, PATH)
        assert raised.value.message.startswith(reason)
        assert "nothing was changed" in str(raised.value)
