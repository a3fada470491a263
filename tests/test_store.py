"""Where things are: the root, the sessions, and the way from an id to a directory."""

import errno
import multiprocessing
import os
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance_log.errors import ProvlogError, StoreNotFound, StoreNotWritable
from provenance_log.store import (
    Store,
    find_root,
    initialise_store,
    is_safe_name,
    open_store,
)

MINUTE = datetime(2026, 1, 10, 14, 30, 59, tzinfo=UTC)


def tree_of(root: Path) -> dict[str, tuple[bytes | None, int]]:
    """Everything below a directory: content and time of change."""
    return {
        str(path.relative_to(root)): (
            path.read_bytes() if path.is_file() else None,
            path.stat().st_mtime_ns,
        )
        for path in sorted(root.rglob("*"))
    }


# The tree


def test_a_new_store_has_every_part_and_a_second_init_changes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "project" / ".claude" / "provenance"
    first = initialise_store(root)
    before = tree_of(root)
    second = initialise_store(root)

    assert set(first.created) == {
        *("sessions/", "indices/", "indices/by-id/", "README.md", "action-types.yaml"),
        *("manifest-template.yaml", "metadata-schema.json", ".gitignore"),
    }
    assert first.kept == second.created == ()
    assert set(second.kept) == set(first.created)
    assert {f"{name}/" if path[0] is None else name for name, path in before.items()} == set(
        first.created
    )
    assert tree_of(root) == before
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in (root, *root.rglob("*")))


def test_init_makes_what_is_missing_and_keeps_what_a_person_changed(tmp_path: Path) -> None:
    initialise_store(tmp_path)
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "action-types.yaml").unlink()

    report = initialise_store(tmp_path)

    assert report.created == ("action-types.yaml",)
    assert (tmp_path / "README.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["plain", 'it\'s a "name" # with: signs', "späce ü"])
def test_a_database_given_to_init_is_found_again(tmp_path: Path, name: str) -> None:
    database = tmp_path / name / "own.duckdb"

    report = initialise_store(tmp_path / "store", database)

    assert report.database == open_store(tmp_path / "store").database == database
    assert "config.yaml" in report.created


def test_init_where_it_can_not_be_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreNotWritable) as raised:
        initialise_store(tmp_path / "file" / "store")

    assert raised.value.hint


def test_init_on_a_full_disk_says_so_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F06."""

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StoreNotWritable, match="No space left"):
            initialise_store(tmp_path / "store")
    initialise_store(tmp_path / "store")

    assert not list((tmp_path / "store").rglob("*.tmp"))


# Finding it


def test_the_root_is_found_from_below_as_git_finds_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "project" / ".claude" / "provenance"
    initialise_store(root)
    below = tmp_path / "project" / "src" / "deep"
    below.mkdir(parents=True)

    for start in (below, tmp_path / "project", root, root / "sessions"):
        monkeypatch.chdir(start)
        assert find_root() == root
        assert open_store() == Store(root, root / "provenance.duckdb")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreNotFound, match="no store here") as raised:
        open_store()
    assert "provlog init" in str(raised.value)


def test_the_nearest_of_two_roots_is_taken(tmp_path: Path) -> None:
    outer, inner = tmp_path / ".claude/provenance", tmp_path / "sub/.claude/provenance"
    initialise_store(outer)
    initialise_store(inner)

    assert find_root(tmp_path / "sub") == inner
    assert find_root(tmp_path) == outer


def test_a_given_root_may_be_the_store_or_its_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "project" / ".claude" / "provenance"
    initialise_store(root)
    for place in (root, tmp_path / "project"):
        assert open_store(place).root == root
        monkeypatch.setenv("PROVENANCE_ROOT", str(place))
        assert open_store().root == root
    monkeypatch.setenv("PROVENANCE_ROOT", str(tmp_path / "missing"))
    with pytest.raises(StoreNotFound, match="no store in this directory"):
        open_store()
    with pytest.raises(StoreNotFound):
        open_store(tmp_path / "missing")


def test_a_working_directory_that_is_gone_is_reported(tmp_path: Path) -> None:
    """F21."""
    gone = tmp_path / "gone"
    gone.mkdir()
    script = """if True:
        import os, sys
        from provenance_log.errors import StoreNotFound
        from provenance_log.store import open_store
        os.rmdir(os.getcwd())
        try:
            open_store()
        except StoreNotFound as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=gone,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "the working directory is gone" in done.stdout


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("", "store/provenance.duckdb"),
        ("database: data/own.duckdb\n", "data/own.duckdb"),
        ("# database: a\ndatabase:   'it''s.duckdb'  # ours\n", "it's.duckdb"),
        ('database: "a b.duckdb"\n', "a b.duckdb"),
        ("database: a#b.duckdb # ours\n", "a#b.duckdb"),
        ("database: null\n", "store/provenance.duckdb"),
        ("database: ~\n", "store/provenance.duckdb"),
        ("database:\n", "store/provenance.duckdb"),
        ("database: ''\n", "store/provenance.duckdb"),
        ("other:\n  database: nested.duckdb\n", "store/provenance.duckdb"),
        ("database: /abs/own.duckdb\n", "/abs/own.duckdb"),
    ],
)
def test_the_database_is_where_the_config_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, expected: str
) -> None:
    """Relative to the project; an argument and the environment come first."""
    root = tmp_path / ".claude" / "provenance"
    initialise_store(root)
    (root / "config.yaml").write_text(config)

    place = root / expected[6:] if expected.startswith("store/") else tmp_path / expected
    assert open_store(root).database == place
    monkeypatch.setenv("PROVENANCE_DB", str(tmp_path / "environment"))
    assert open_store(root).database == tmp_path / "environment"
    assert open_store(root, tmp_path / "argument").database == tmp_path / "argument"


def test_a_config_that_can_not_be_read_is_reported(tmp_path: Path) -> None:
    initialise_store(tmp_path)
    (tmp_path / "config.yaml").write_bytes(b"database: \xff\n")

    with pytest.raises(ProvlogError, match="can't be read") as raised:
        open_store(tmp_path)

    assert raised.value.path == tmp_path / "config.yaml"


# Session directories


def test_sessions_of_one_minute_get_directories_of_their_own(store: Store) -> None:
    """F61."""
    zone = timezone(timedelta(hours=2))
    made = [store.create_session_directory(MINUTE.astimezone(zone)) for _ in range(3)]
    next_minute = store.create_session_directory(MINUTE + timedelta(minutes=1))

    names = ["2026-01-10-14-30", "2026-01-10-14-30-2", "2026-01-10-14-30-3"]
    assert [directory.name for directory in made] == names
    assert next_minute.name == "2026-01-10-14-31"
    found = [directory.name for directory in store.session_directories()]
    assert found == [*names, "2026-01-10-14-31"]
    assert made[0].log == store.sessions_dir / names[0] / "actions.jsonl"


def make_directories(root: str, count: int) -> list[str]:
    store = open_store(Path(root))
    return [store.create_session_directory(MINUTE).name for _ in range(count)]


def test_processes_that_start_at_once_never_share_a_directory(store: Store) -> None:
    """The predecessor let two runs of one minute write into one directory."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        results = pool.starmap(make_directories, [(str(store.root), 20)] * 4)

    names = [name for names in results for name in names]
    assert len(set(names)) == len(names) == 80
    suffixes = ["", *(f"-{number}" for number in range(2, 81))]
    assert set(names) == {f"2026-01-10-14-30{suffix}" for suffix in suffixes}


def test_a_session_directory_that_can_not_be_made_is_reported(store: Store) -> None:
    store.sessions_dir.rmdir()

    with pytest.raises(StoreNotWritable):
        store.create_session_directory(MINUTE)
    with pytest.raises(StoreNotFound, match="no sessions directory"):
        store.session_directories()


def test_unsafe_names_are_passed_over_and_reported(store: Store) -> None:
    """F39: names that could leave the root, or that another system can't hold."""
    unsafe = ["-rf", ".hidden", "a b", "x;ls", "$(id)", "über", "nul", "CON.txt", "end.", "a\nb"]
    unsafe += ["\x1b[31m", "'; DROP", "a" * 200]
    safe = ["2026-01-10-14-30", "renamed-by-hand", "A.b_c-2"]
    for name in (*unsafe, *safe):
        (store.sessions_dir / name).mkdir()
    os.mkdir(os.fsencode(store.sessions_dir) + b"/\xff")  # noqa: PTH102  (not a name in UTF-8)
    (store.sessions_dir / "file").write_text("")
    (store.sessions_dir / "link").symlink_to("2026-01-10-14-30")

    assert [directory.name for directory in store.session_directories()] == sorted(safe)
    assert sorted(store.unsafe_names()) == sorted([*unsafe, "\udcff"])


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\x00", "COM1", "lpt9.log", "ａ"])
def test_a_name_that_is_more_than_a_name_is_not_safe(name: str) -> None:
    assert not is_safe_name(name)


def test_sessions_that_can_not_be_listed_are_reported_with_what_helps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F07: no descriptor is left."""

    def refuses(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("provenance_log.store.os.scandir", refuses)
        with pytest.raises(ProvlogError, match="ulimit") as caught:
            store.session_directories()
    assert caught.value.path == store.sessions_dir


_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE | re.ASCII)


@given(
    st.one_of(
        st.text(),
        st.text("aZ09._-", max_size=140),
        st.from_regex(r"(?i:con|nul|com[0-9]|lpt[0-9])[.a]{0,3}", fullmatch=True),
    )
)
def test_a_name_is_safe_that_the_expressions_of_safe_and_reserved_names_say_is(name: str) -> None:
    is_safe = _SAFE.fullmatch(name) and not name.endswith(".") and not _RESERVED.fullmatch(name)
    assert is_safe_name(name) == bool(is_safe)
