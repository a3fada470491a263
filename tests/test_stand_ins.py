"""What a hook imports in place of the standard library does the same, and it imports little.

The stand-ins live in a process of their own here as well, as they would harm this one.
"""

import contextlib
import dataclasses
import json
import re
import string
import subprocess
import sys
import typing
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hook_cases import COMMAND, HOOK_FILE, SILENT, as_bytes, failed, payload, post, pre
from hook_cases import run_hook as run
from hypothesis import given
from hypothesis import strategies as st
from imported_sessions import logs_of
from secret_samples import SAMPLES

from provenance_log.claude_code import light_classes, stand_ins
from provenance_log.settings import load_settings
from provenance_log.store import ROOT_BELOW_PROJECT, Store, initialise_store
from provenance_log.store_redaction import KEY_BYTES, KEY_NAME

WITH_STAND_INS = COMMAND
_SCRIPT = "import sys; sys.path[:0] = sys.argv[1:]; from {0} import main; main()"
WITHOUT = [
    *(sys.executable, "-I", "-c", _SCRIPT.format("provenance_log.claude_code.hook")),
    str(Path(__file__).parent.parent),
]


def events() -> list[dict[str, Any]]:
    """One of each kind, with secrets, escapes and what no line can hold as it is."""
    texts = "\n\n".join(sample.text for sample in SAMPLES)
    return [
        payload("SessionStart", source="startup"),
        payload("UserPromptSubmit", prompt=texts),
        pre("a"),
        post("a", tool_response={"stdout": texts, "n": [1, 1.5, 2**60, True, None]}),
        pre(None, tool_input={"command": "echo \ud800 %41%42 \\u0041"}),
        post(None, tool_input={"command": "echo \ud800 %41%42 \\u0041"}),
        pre("b", "AskUserQuestion", tool_input={"questions": [{"question": "why?"}]}),
        failed("b", "Exit code 3\nno"),
        pre("c", "mcp__server__tool", agent_id="x", agent_type="y"),
        payload("PermissionDenied", tool_name="Bash", tool_use_id="d", reason="no"),
        payload("PermissionRequest", tool_name="Bash", tool_input={"command": "x"}),
        payload("Notification", message="Ab3dE" * 30),
        payload("PostToolBatch", tool_calls=[{"tool_use_id": "c"}]),
        payload("SubagentStop", agent_id="x"),
        payload("SomethingNew", effort={"level": "high"}, deep=[[[[{}]]]]),
        payload("StopFailure", error="rate_limit"),
        payload("SessionEnd", reason="exit"),
        payload("Stop", last_assistant_message="late"),
    ]


def recorded(project: Path, command: list[str]) -> list[dict[str, Any]]:
    """What processes of a command record, without what differs from one run to the next."""
    root = project / ROOT_BELOW_PROJECT
    store = Store(root, root / "none.duckdb")
    initialise_store(root)
    (root / KEY_NAME).write_text("0a" * KEY_BYTES + "\n")
    for one in events():
        assert run(as_bytes(one), project, command=command) == SILENT
    assert not (root / "recorder-problems.jsonl").exists()
    (actions,) = logs_of(store).values()
    ids: dict[str, str] = {}
    for action in actions:
        ids.setdefault(action["database_event_id"], f"id {len(ids)}")
    return [_comparable(action, ids) for action in actions]


def _comparable(action: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    rest = {key: item for key, item in action.items() if key not in {"prev", "duration_ms"}}
    rest["timestamp"] = re.sub(r"\d", "0", rest["timestamp"])
    text = json.dumps(rest)
    text = re.sub(r'"arrival_id": "[^"]*"', '"arrival_id": ""', text)
    for one, name in ids.items():
        text = text.replace(one, name)
    return dict(json.loads(text))


def test_a_log_is_the_same_with_and_without_stand_ins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = tmp_path / "one", tmp_path / "other"
    assert recorded(one, WITH_STAND_INS) == recorded(other, WITHOUT)


# Small, or there anyway, or without which no line is written.
LOADED = frozenset(
    (
        *("abc", "builtins", "codecs", "encodings", "errno", "fcntl", "gc", "genericpath", "io"),
        *("marshal", "operator", "orjson", "os", "pathlib", "posix", "posixpath", "provenance_log"),
        *("stat", "struct", "sys", "time", "zipimport"),
        *("collections", "datetime"),  # as names of `_collections_abc` and `_datetime`
    )
)


def test_the_process_of_a_hook_imports_next_to_nothing_of_the_standard_library(
    tmp_path: Path,
) -> None:
    """Imports are what a hook costs: each module beyond these was found to be worth avoiding."""
    initialise_store(tmp_path / ROOT_BELOW_PROJECT)
    load_settings(tmp_path / ROOT_BELOW_PROJECT)  # into the cache, once for all hooks
    report = tmp_path / "report"
    script = (
        "import os, sys\n"
        "def leave(code):\n"
        "    from provenance_log.claude_code.stand_ins import StandIn\n"
        "    names = [n for n, m in sys.modules.items() if not isinstance(m, StandIn)]\n"
        "    with open(sys.argv[1], 'w') as file: file.write(' '.join(names))\n"
        "    leave_now(code)\n"
        "leave_now, os._exit = os._exit, leave\n"
        "path = sys.argv[2]\n"
        "exec(compile(open(path).read(), path, 'exec'), {'__name__': '__main__', '__file__': path})"
    )
    command = [*COMMAND[:-1], "-c", script, str(report), str(HOOK_FILE)]
    for one in (pre("a", "Read"), post("a", "Read"), post("b", "Read")):
        assert run(as_bytes(one), tmp_path, command=command) == SILENT
        loaded = {name.partition(".")[0] for name in report.read_text().split()}
        # What begins with an underscore is written in C, or belongs to the import system.
        assert {name for name in loaded - LOADED if not name.startswith("_")} == set()
    (actions,) = logs_of(Store(tmp_path / ROOT_BELOW_PROJECT, tmp_path / "none")).values()
    assert [one["event_type"] for one in actions[1:]] == ["tool_start", "tool_call", "tool_call"]


def test_what_a_stand_in_has_not_comes_from_the_real_module() -> None:
    script = (
        "from provenance_log.claude_code import stand_ins\n"
        "stand_ins.import_orjson(); stand_ins.install()\n"
        "import re, json, typing, dataclasses, uuid, functools, contextlib, orjson\n"
        "pattern = re.compile('a(b)', re.IGNORECASE)\n"
        "assert re.sub(r'(x)', r'\\1y', 'x') == 'xy'\n"
        "assert pattern.sub(r'<\\1>', 'AB') == '<B>' and pattern.groups == 1\n"
        "assert json.loads('[1]') == [1] and typing.cast(int, 1) == 1\n"
        "assert functools.reduce(max, [1, 2]) == 2 and str(uuid.uuid4())\n"
        "assert issubclass(orjson.JSONDecodeError, ValueError)\n"
        "try: orjson.loads(b'[1,\\n x')\n"
        "except orjson.JSONDecodeError as error: print(error.pos, error.lineno, error.colno)\n"
    )
    packages = [str(Path(__file__).parent.parent), *(p for p in sys.path if "site-packages" in p)]
    script = f"import sys; sys.path += {packages!r}\n{script}"
    command = [sys.executable, "-I", "-S", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5", "2", "2"]


def made_by(module: Any) -> tuple[Any, Any, Any]:
    @module.dataclass(frozen=True, slots=True)
    class Frozen:
        a: int
        b: str = "b"
        c: Any = module.field(default_factory=lambda: (1,))
        d: Any = module.field(default=4)

        def double(self) -> int:
            return 2 * self.a

    @module.dataclass(slots=True)
    class Open:
        a: int
        b: Any = module.field(default_factory=list)

    named: Any = light_classes.NamedTuple if module is light_classes else typing.NamedTuple

    class Tuple(named):  # type: ignore[misc]
        a: int
        b: str = "b"

        def double(self) -> int:
            return 2 * self.a

    return Frozen, Open, Tuple


ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((1, "x"), {}),
    ((1,), {"b": "y"}),
    ((), {"b": "y"}),
    ((1,), {"e": 0}),
    ((1, "x", (), 0), {}),
    ((1, "x", (), 0, 9), {}),
    ((), {"a": 1, "b": "z", "c": 2, "d": 3}),
]


def seen(make: Callable[[], Any]) -> list[Any]:
    """What can be seen of an instance, or that there is none."""
    try:
        one, other = make(), make()
    except TypeError:
        return ["TypeError"]
    names = [name for name in "abcd" if hasattr(one, name)]
    found: list[Any] = [repr(one).rpartition(".")[2], [getattr(one, name) for name in names]]
    found += [one == other, one != other, one == 5, hasattr(one, "double") and one.double()]
    for change in (hash, lambda it: setattr(it, "a", 7), lambda it: delattr(it, "a"), repr):
        try:
            found.append(change is hash or str(change(one)).rpartition(".")[2])
            hash(one)
        except (TypeError, AttributeError) as error:
            found.append(issubclass(type(error), AttributeError))
    return found


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_light_class_is_made_compared_and_shown_as_the_real_one(
    index: int, arguments: tuple[tuple[Any, ...], dict[str, Any]]
) -> None:
    light, real = made_by(light_classes)[index], made_by(dataclasses)[index]
    positional, named = arguments
    assert seen(lambda: light(*positional, **named)) == seen(lambda: real(*positional, **named))


def test_light_instances_are_replaced_in_part() -> None:
    frozen, _, named = made_by(light_classes)
    assert light_classes.replace(frozen(1), b="x") == frozen(1, "x")
    assert named(1)._replace(a=3) == named(3) == (3, "b")


@given(st.uuids(), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_light_uuid_is_the_real_one(namespace: uuid.UUID, name: str) -> None:
    light = stand_ins._Uuid(str(namespace))
    assert (str(light), light.bytes) == (str(namespace), namespace.bytes)
    assert str(stand_ins._uuid5(light, name)) == str(uuid.uuid5(namespace, name))
    made = stand_ins._Uuid(bytes=namespace.bytes, version=5)
    assert str(made) == str(uuid.UUID(bytes=namespace.bytes, version=5))


@pytest.mark.parametrize("module", [stand_ins._blocks_of, contextlib.contextmanager])
def test_a_light_blocks_of_passes_errors_on_and_swallows_what_its_function_does(
    module: Any,
) -> None:
    @module  # type: ignore[untyped-decorator]
    def manager(told: list[str], swallowed: type[Exception]) -> Iterator[str]:
        try:
            yield "value"
        except swallowed:
            told.append("swallowed")
        finally:
            told.append("left")

    told: list[str] = []
    with manager(told, OSError) as value:
        told.append(value)
    for error in (FileNotFoundError, KeyError):
        try:
            with manager(told, OSError):
                raise error
        except KeyError:
            told.append("passed on")
    assert told == ["value", "left", "swallowed", "left", "left", "passed on"]


def test_the_names_at_hand_are_what_the_real_modules_have() -> None:
    names = stand_ins._names()
    assert names["string"] == {
        "ascii_letters": string.ascii_letters,
        "digits": string.digits,
    }
    for name in ("ASCII", "DOTALL", "IGNORECASE"):
        assert names["re"][name] == getattr(re, name).value
    told = []
    for error in (FileNotFoundError, KeyError):
        try:
            with names["contextlib"]["suppress"](OSError):
                raise error
        except KeyError:
            told.append("KeyError")
    assert told == ["KeyError"]
