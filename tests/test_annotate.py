"""`provlog annotate`: what people used to write into manifests goes into the log."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import orjson
import pytest
import yaml
from looking_cases import ALL_HOSTILE, Provlog, record, run_provlog

from projections.projector import catch_up
from provenance_log.format import decode
from provenance_log.reader import is_chained, read_log

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from provenance_log.store import Store


@pytest.fixture
def provlog(capsys: pytest.CaptureFixture[str]) -> Provlog:
    """Run `provlog` with a store and arguments."""
    return partial(run_provlog, capsys)


def log_of(store: Store, name: str) -> Path:
    return store.sessions_dir / name / "actions.jsonl"


def annotations_in(store: Store, name: str) -> list[tuple[str, str]]:
    values = (decode(line) for line in log_of(store, name).read_bytes().splitlines())
    return [
        (value["event_name"], value["details"]["text"])
        for value in values
        if value["event_type"] == "annotation"
    ]


def manifest_of(store: Store, name: str) -> dict[str, Any]:
    catch_up(store)
    text = (store.sessions_dir / name / "manifest.yaml").read_text("utf-8")
    manifest: dict[str, Any] = yaml.safe_load(text)
    return manifest


def test_every_kind_is_appended_chained_and_in_the_next_manifest(
    provlog: Provlog, store: Store
) -> None:
    name = record(store, session_id="s1")

    ran = provlog(
        *(store, "annotate", "s1", "--finding", "f1", "--finding", "f2", "--recommendation", "r"),
        *("--warning", "w", "--goal", "g", "--note", "n"),
    )

    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"appended 6 annotations to {name} (session s1)\n"
    manifest = manifest_of(store, name)
    assert manifest["key_findings"] == ["f1", "f2"]
    assert manifest["recommendations"] == ["r"]
    assert manifest["warnings"] == ["w"]
    assert manifest["goals"][-1] == "g"
    assert manifest["results"]["notes"] == "n"
    lines = [line for chunk in read_log(log_of(store, name)) for line in chunk.lines]
    assert all(is_chained(decode(line.content or b""), line) for line in lines)


def test_an_annotation_after_the_end_leaves_the_session_ended(
    provlog: Provlog, store: Store
) -> None:
    name = record(store, session_id="s1", success=True)

    provlog(store, "annotate", "s1", "--finding", "late")

    manifest = manifest_of(store, name)
    assert (manifest["state"], manifest["key_findings"]) == ("success", ["late"])


def test_json_names_the_session_and_the_numbers_of_the_lines(
    provlog: Provlog, store: Store
) -> None:
    name = record(store, session_id="s1")

    ran = provlog(store, "annotate", "s1", "--note", "n", "--finding", "f", "--json")

    assert ran.json == {
        "session_id": "s1",
        "log": name,
        "appended": [
            {"action_id": 2, "event_name": "finding"},
            {"action_id": 3, "event_name": "note"},
        ],
    }


def test_a_session_is_named_by_id_beginning_directory_path_and_latest(
    provlog: Provlog, store: Store
) -> None:
    record(store, session_id="aaa-1")
    name = record(store, session_id="abb-2")
    directory = store.sessions_dir / name

    for given in ("abb-2", "ab", name, str(directory), f"{directory}/actions.jsonl", "latest"):
        assert provlog(store, "annotate", given, "--note", given).code == 0

    assert len(annotations_in(store, name)) == 6
    assert not store.database.exists()


def test_a_torn_tail_is_sealed_and_the_annotation_is_a_line_of_its_own(
    provlog: Provlog, store: Store
) -> None:
    """A5."""
    name = record(store, session_id="s1")
    with log_of(store, name).open("ab") as log:
        log.write(b'{"torn')

    assert provlog(store, "annotate", "s1", "--note", "n").code == 0

    lines = log_of(store, name).read_bytes().splitlines()
    assert lines[1] == b'{"torn'
    assert orjson.loads(lines[2])["details"] == {"text": "n"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nobody", "no session nobody"),
        ("", "no session "),
        ("a", "2 sessions begin with a:"),
        ("/somewhere/else", "is not in"),
        ("by-hand", "hint: this directory has no log; `provlog adopt` makes one"),
    ],
)
def test_a_name_that_is_not_one_session_is_refused_and_nothing_appended(
    provlog: Provlog, store: Store, given: str, message: str
) -> None:
    names = [record(store, session_id=session_id) for session_id in ("aa", "ab")]
    (store.sessions_dir / "by-hand").mkdir()
    before = [log_of(store, name).read_bytes() for name in names]

    ran = provlog(store, "annotate", given, "--note", "n")

    assert ran.code == 1
    assert message in ran.err
    assert [log_of(store, name).read_bytes() for name in names] == before
    assert not log_of(store, "by-hand").exists()


def test_a_session_in_two_directories_wants_the_directory(provlog: Provlog, store: Store) -> None:
    """D2: to append to one of two copies is to fork them, so a person says which."""
    name = record(store, session_id="s1")
    copy = store.sessions_dir / "copy"
    copy.mkdir()
    (copy / "actions.jsonl").write_bytes(log_of(store, name).read_bytes())

    assert "2 directories hold s1:" in provlog(store, "annotate", "s1", "--note", "n").err
    assert provlog(store, "annotate", "copy", "--note", "n").code == 0
    assert annotations_in(store, "copy") == [("note", "n")]


@pytest.mark.parametrize("texts", [(), ("--note", " ")])
def test_nothing_to_say_is_a_wrong_command_line(
    provlog: Provlog, store: Store, texts: tuple[str, ...]
) -> None:
    record(store, session_id="s1")

    assert provlog(store, "annotate", "s1", *texts).code == 2


def test_hostile_text_is_kept_in_the_log_and_kept_from_the_terminal(
    provlog: Provlog, store: Store
) -> None:
    """S1."""
    text = ALL_HOSTILE.replace("\x00", "")
    name = record(store, session_id=f"s{text}")

    ran = provlog(store, "annotate", name, "--note", text)

    assert annotations_in(store, name) == [("note", text)]
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out
