"""`provlog adopt`: sessions that are known by their manifest only, taken into the log."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from looking_cases import Provlog, make_store, record, run_provlog

from projections.adopting import LOCK_NAME, MANIFEST_BYTES_MAX, STAGED_NAME, adopt, adoptable
from projections.projector import catch_up
from provenance_log import files, lock_files
from provenance_log.format import decode
from provenance_log.reader import is_chained, read_log
from provenance_log.store import read_session_id

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from provenance_log.store import Store

MINUTE = "2026-02-03-04-05"
MANIFEST = """\
# kept by hand
session:
  id: claude-session-1
  date_started: 2026-02-03T04:05:06Z
  date_ended: 2026-02-03 05:00:00+00:00
  model: sonnet
  user: ada
user_context:
  working_directory: /home/ada/lab
  git_commit_before: 0123456
goals: [measure pH, "no"]
agent_context: {kwargs: {dose: 3.10}, depth: 2}
results: {success: yes, notes: all well}
action_summary:
  decisions:
    key_decisions:
    - "Decision: dilute"
    - "Rationale: too strong"
    - stop early
key_findings: [{value: 7.2}, no]
recommendations: one only
warnings:
errors:
- {message: probe broke, code: E1, timestamp: 2026-02-03T04:30:00Z}
- plain words
extra: {kept: [1, 2.5, true, ~]}  # what for?
"""


@pytest.fixture
def provlog(capsys: pytest.CaptureFixture[str]) -> Provlog:
    """Run `provlog` with a store and arguments."""
    return partial(run_provlog, capsys)


def by_hand(store: Store, manifest: str | bytes = MANIFEST, name: str = MINUTE) -> Path:
    """Make a session directory with nothing but a manifest, and return the manifest's path."""
    directory = store.sessions_dir / name
    directory.mkdir()
    path = directory / "manifest.yaml"
    path.write_bytes(manifest.encode() if isinstance(manifest, str) else manifest)
    return path


def actions_in(store: Store, name: str = MINUTE) -> list[dict[str, Any]]:
    lines = (store.sessions_dir / name / "actions.jsonl").read_bytes().splitlines()
    return [decode(line) for line in lines]


def content_below(directory: Path, names: Iterable[str]) -> dict[str, bytes]:
    wanted = set(names)
    found = (path for path in sorted(directory.rglob("*")) if path.name in wanted)
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def test_the_log_says_what_the_manifest_says(provlog: Provlog, store: Store) -> None:
    path = by_hand(store)

    ran = provlog(store, "adopt", MINUTE)

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    actions = actions_in(store)
    session = actions[0]["details"]["session"]
    assert ran.out.startswith(f"adopted {MINUTE}: 11 lines, session {session['session_id']}\n")
    assert session == {
        "session_id": session["session_id"],
        "agent_type": "claude-code",
        "query": "measure pH",
        "kwargs": {"dose": "3.10"},
        "model": "sonnet",
        "user_context": {
            "working_directory": "/home/ada/lab",
            "git_commit_before": "0123456",
            "user": "ada",
        },
        "depth": 2,
        "goals": ["measure pH", "no"],
        "project": "lab",
        "schema_version": "1.1.0",
        "source": {"kind": "manifest", "sha256": digest, "reconstructed": True},
    }
    told = [(a["event_name"], a["details"].get("text"), a["status"]) for a in actions[1:-2]]
    assert told == [
        ("finding", '{"value": 7.2}', "success"),
        ("finding", "no", "success"),
        ("recommendation", "one only", "success"),
        ("note", "all well", "success"),
        ("error", "probe broke", "failure"),
        ("error", "plain words", "failure"),
        ("decision", "dilute", "success"),
        ("decision", "stop early", "success"),
    ]
    assert actions[7]["details"]["reason"] == "too strong"
    assert actions[5]["timestamp"] == "2026-02-03T04:30:00.000000Z"
    whole = actions[-2]["details"]
    assert whole["content"] == MANIFEST
    assert whole["manifest"]["extra"] == {"kept": [1, 2.5, True, None]}
    assert whole["manifest"]["session"]["date_started"] == "2026-02-03T04:05:06Z"
    assert actions[-1]["timestamp"] == "2026-02-03T05:00:00.000000Z"
    assert actions[-1]["details"] == {
        "success": True,
        "result_summary": {"success": "yes", "notes": "all well"},
    }


def test_the_log_is_chained_and_the_same_in_every_clone(store: Store, tmp_path: Path) -> None:
    """C5: the log is a function of the manifest, so two clones that adopt have one session."""
    other = make_store(tmp_path / "other")
    for one in (store, other):
        by_hand(one)
        (adoption,) = adopt(one, adoptable(one))
        assert adoption.outcome == "adopted"

    logs = [one.sessions_dir / MINUTE / "actions.jsonl" for one in (store, other)]
    assert logs[0].read_bytes() == logs[1].read_bytes()
    assert logs[0].stat().st_mode & 0o777 == 0o600
    lines = [line for chunk in read_log(logs[0]) for line in chunk.lines]
    assert all(is_chained(decode(line.content or b""), line) for line in lines)


def test_a_generated_manifest_stays_the_anchor_of_the_log_that_is_not_here(
    provlog: Provlog, store: Store
) -> None:
    """A clone without logs: the manifest holds the head of the real log, so nothing replaces it."""
    session_id = str(uuid.uuid4())
    name = record(store, session_id=session_id, goals=["why"], success=True)
    catch_up(store)
    directory = store.sessions_dir / name
    (directory / "actions.jsonl").unlink()
    store.database.unlink()
    before = content_below(directory, ("manifest.yaml", "summary.md"))

    (adoption,) = adopt(store, adoptable(store))
    catch_up(store)

    assert (adoption.outcome, adoption.session_id) == ("adopted", session_id)
    assert content_below(directory, ("manifest.yaml", "summary.md")) == before
    assert provlog(store, "verify", "latest", "--json").code == 0
    against = str(directory / "manifest.yaml")
    assert provlog(store, "verify", "latest", "--against", against).code == 1


def test_a_directory_with_a_log_is_skipped_and_adopting_again_changes_nothing(
    provlog: Provlog, store: Store
) -> None:
    by_hand(store)
    live = record(store, session_id="live")
    (store.sessions_dir / live / "manifest.yaml").write_text(MANIFEST)
    assert provlog(store, "adopt", MINUTE).code == 0
    before = content_below(store.sessions_dir, ("actions.jsonl", "manifest.yaml"))

    ran = provlog(store, "adopt", MINUTE, str(store.sessions_dir / live))

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"skipped {MINUTE}: it has a log already",
        f"skipped {live}: it has a log already",
        "nothing to do",
    ]
    assert content_below(store.sessions_dir, ("actions.jsonl", "manifest.yaml")) == before


def test_the_session_of_another_log_is_not_made_a_second_time(store: Store) -> None:
    """D2: a copied manifest, or one whose log is in another directory, would count twice."""
    session_id = str(uuid.uuid4())
    name = record(store, session_id=session_id)
    by_hand(store, f"session: {{database_session_id: {session_id}}}\n", "renamed")
    by_hand(store, name="one")
    by_hand(store, name="two")

    found = {one.log: (one.outcome, one.reason) for one in adopt(store, adoptable(store))}

    assert found == {
        "one": ("adopted", None),
        "two": ("skipped", "its session has a log already, in one"),
        "renamed": ("skipped", f"its session has a log already, in {name}"),
    }


UNREADABLE: dict[str, tuple[str | bytes, str]] = {
    "not YAML": ("goals:\n  - [a\nb: c\n", ", line 3: not YAML: "),
    "alias in itself": ("a: &a [*a]\n", ", line 1: the alias *a leads nowhere or into itself"),
    "not UTF-8": (b"a: 1\nb: \xff\n", ", line 2: it is not UTF-8"),
    "control": ("a: 1\nb: \x1b[31m\n", ", line 2: the character U+001B may not be in YAML"),
    "large": ("a: 1\n" + "#" * MANIFEST_BYTES_MAX, ": it is larger than 1,048,576 bytes"),
    "large goals": ("goals: [" + "x" * 600_000 + "]", ": its session, goals and kwargs are"),
}


def test_a_manifest_that_can_not_be_read_is_named_and_the_rest_adopted(
    provlog: Provlog, store: Store
) -> None:
    """S4: nothing in a file does more than become a value, and no file costs more than its size."""
    for number, (content, _) in enumerate(UNREADABLE.values()):
        by_hand(store, content, f"bad-{number}")
    by_hand(store, name="good")
    pipe, link = store.sessions_dir / "pipe", store.sessions_dir / "link"
    pipe.mkdir()
    link.mkdir()
    os.mkfifo(pipe / "manifest.yaml")
    (link / "manifest.yaml").symlink_to(store.sessions_dir / "good" / "manifest.yaml")

    ran = provlog(store, "adopt", "--all")

    assert ran.code == 1
    assert ran.out.startswith("adopted good: ")
    for number, (_, message) in enumerate(UNREADABLE.values()):
        path = store.sessions_dir / f"bad-{number}" / "manifest.yaml"
        assert f"error: {path}{message}" in ran.err
        assert [entry.name for entry in path.parent.iterdir()] == ["manifest.yaml"]
    for directory in (pipe, link):
        assert f"error: {directory}/manifest.yaml: it is no plain file" in ran.err
    assert "\x1b" not in ran.err


@pytest.mark.parametrize(
    ("manifest", "name", "times", "state"),
    [
        ("session: {date_started: 2026-02-03, duration_minutes: 1.5}", "x", ("00:00", "00:01"), 2),
        ("session: {date_started: about noon}", MINUTE, ("04:05", None), "directory name"),
        ("results: {success: true}", f"{MINUTE}-2", ("04:05", None), "directory name"),
        ("session: {date_started: 2026-02-30}", "2026-13-01-00-00", ("06:07", None), "file time"),
        ("a: 1", "kept", ("06:07", None), "file time"),
    ],
)
def test_a_start_that_the_manifest_lacks_is_taken_from_the_name_or_the_file(
    store: Store, manifest: str, name: str, times: tuple[str, str | None], state: object
) -> None:
    path = by_hand(store, manifest, name)
    os.utime(path, (1770098820, 1770098820))  # 2026-02-03T06:07:00Z

    assert [one.outcome for one in adopt(store, adoptable(store))] == ["adopted"]

    actions = actions_in(store, name)
    ends = [a["timestamp"] for a in actions if a["event_name"] == "session_end"]
    assert actions[0]["timestamp"] == f"2026-02-03T{times[0]}:00.000000Z"
    assert [end[:16] for end in ends] == ([] if times[1] is None else [f"2026-02-03T{times[1]}"])
    source = actions[0]["details"]["session"]["source"]
    assert source.get("started_from", 2) == state


def test_a_manifest_larger_than_a_line_is_kept_whole_beside_the_log(store: Store) -> None:
    by_hand(store, "notes: " + "long " * 150_000)

    (adoption,) = adopt(store, adoptable(store))

    assert adoption.outcome == "adopted"
    assert read_session_id(adoptable_directory(store)) == adoption.session_id
    assert len(list((store.sessions_dir / MINUTE / "blobs").iterdir())) >= 1


def adoptable_directory(store: Store) -> Any:
    return next(one for one in store.session_directories() if one.name == MINUTE)


def test_a_kill_leaves_no_log_and_the_next_run_finishes(store: Store) -> None:
    """D5: the log has its name only when it is whole."""
    by_hand(store)
    script = """
        import os, signal, sys
        from pathlib import Path
        from projections.adopting import adopt, adoptable
        from provenance_log import files, open_store

        files.replace_file = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        store = open_store(Path(sys.argv[1]))
        list(adopt(store, adoptable(store)))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(store.root)]
    killed = subprocess.run(command, check=False)
    directory = store.sessions_dir / MINUTE

    assert killed.returncode == -signal.SIGKILL
    assert {path.name for path in directory.iterdir()} == {"manifest.yaml", STAGED_NAME}
    assert [one.outcome for one in adopt(store, adoptable(store))] == ["adopted"]
    assert {path.name for path in directory.iterdir()} == {"manifest.yaml", "actions.jsonl"}
    assert [a["action_id"] for a in actions_in(store)] == list(range(1, 12))


def test_two_that_adopt_at_once_exclude_each_other(provlog: Provlog, store: Store) -> None:
    path = by_hand(store)

    with lock_files.exclusive_lock(store.root / LOCK_NAME):
        ran = provlog(store, "adopt", "--all")

    assert (ran.code, "held by process" in ran.err) == (1, True)
    assert not path.with_name("actions.jsonl").exists()


def test_a_directory_that_can_not_be_written_keeps_no_other_from_being_adopted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(store, name="bad")
    by_hand(store, MANIFEST + "more: 1\n", name="good")
    real = files.replace_file

    def refuse(source: Path, target: Path) -> None:
        if target.parent.name == "bad":
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(files, "replace_file", refuse)
    found = {one.log: (one.outcome, one.reason) for one in adopt(store, adoptable(store))}

    reason = f"{store.sessions_dir}/bad: No space left on device"
    assert found == {"bad": ("failed", reason), "good": ("adopted", None)}
    assert [path.name for path in (store.sessions_dir / "bad").iterdir()] == ["manifest.yaml"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "name session directories, or give --all"),
        (("--all", MINUTE), 2, "name session directories, or give --all"),
        (("nowhere",), 1, "no session directory nowhere"),
        (("../..",), 1, "is not in"),
        (("empty",), 1, "there is no manifest"),
    ],
)
def test_a_directory_that_is_none_is_refused(
    provlog: Provlog, store: Store, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (store.sessions_dir / "empty").mkdir()

    ran = provlog(store, "adopt", *arguments)

    assert (ran.code, message in ran.err) == (code, True)


def test_status_counts_what_can_be_adopted(provlog: Provlog, store: Store) -> None:
    by_hand(store)
    (store.sessions_dir / "empty").mkdir()

    assert (
        "manifest only  1 without a log: run `provlog adopt --all`" in provlog(store, "status").out
    )
    assert provlog(store, "status", "--json").json["adoptable_names"] == [MINUTE]
