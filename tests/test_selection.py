"""What SESSION and TIME arguments mean."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from looking_cases import make_store, record

from projections.database import connect
from projections.projector import catch_up
from projections.selection import find_session
from provenance_log.errors import SessionNotFound
from provenance_log.store import Store

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
IDS = ("aaaa1111", "aaaa2222", "bbbb1111", "latest-but-not")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Four sessions, an hour apart, of which the last is the latest."""
    store = make_store(tmp_path_factory.mktemp("selection"))
    for hour, session_id in enumerate(IDS):
        record(store, session_id=session_id, started_at=NOW + timedelta(hours=hour))
    catch_up(store)
    return store


def found(store: Store, given_text: str) -> str:
    with connect(store.database, read_only=True) as connection:
        return find_session(store, connection, given_text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aaaa1111", "aaaa1111"),
        ("aaaa2", "aaaa2222"),
        ("b", "bbbb1111"),
        ("latest", "latest-but-not"),
        ("latest-", "latest-but-not"),
        ("2026-02-01-13-00", "aaaa2222"),
        ("2026-02-01-13-00/", "aaaa2222"),
        ("2026-02-01-14", "bbbb1111"),
    ],
)
def test_a_session_is_found_by_id_beginning_directory_and_latest(
    filled: Store, text: str, expected: str
) -> None:
    assert found(filled, text) == expected


def test_a_session_is_found_by_a_path_to_its_directory_or_log(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = filled.sessions_dir / "2026-02-01-12-00"
    monkeypatch.chdir(filled.sessions_dir)

    given_paths = (str(directory), f"{directory}/", str(directory / "actions.jsonl"))
    assert {found(filled, path) for path in given_paths} == {"aaaa1111"}
    assert found(filled, "./2026-02-01-12-00") == "aaaa1111"


def test_a_whole_id_wins_over_a_longer_one_that_begins_with_it(store: Store) -> None:
    record(store, session_id="abc")
    record(store, session_id="abcd")
    catch_up(store)

    assert found(store, "abc") == "abc"


def test_a_beginning_of_several_lists_the_candidates(filled: Store) -> None:
    with pytest.raises(SessionNotFound) as caught:
        found(filled, "aaaa")

    assert caught.value.message == (
        "2 sessions begin with aaaa:\n  aaaa2222  2026-02-01-13-00\n  aaaa1111  2026-02-01-12-00"
    )
    assert caught.value.hint == "give more of the id, or the directory name"


def test_a_long_list_of_candidates_is_cut(store: Store) -> None:
    for number in range(12):
        record(store, session_id=f"same-{number:02d}")
    catch_up(store)

    with pytest.raises(SessionNotFound, match="… and 2 more"):
        found(store, "same")


@pytest.mark.parametrize("text", ["cccc", "", "aaaa11112", "%", "'; DROP TABLE x; --", "\x1b[31m"])
def test_what_names_no_session_is_not_found(filled: Store, text: str) -> None:
    with pytest.raises(SessionNotFound) as caught:
        found(filled, text)

    assert caught.value.hint == "`provlog sessions --all` lists the sessions"


def test_a_session_that_is_not_projected_yet_says_what_to_run(store: Store) -> None:
    catch_up(store)
    record(store, session_id="dddd1111")

    with pytest.raises(SessionNotFound) as caught:
        found(store, "dddd1111")

    assert caught.value.hint == "some sessions are not projected yet: run `provlog project`"


def test_a_path_outside_the_store_is_refused(filled: Store, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "2026-02-01-12-00", filled.root, Path("/")):
        with pytest.raises(SessionNotFound):
            found(filled, f"{path}/x/..")


def test_a_copy_of_a_session_leads_to_the_session(store: Store) -> None:
    name = record(store, session_id="aaaa1111")
    copy = store.sessions_dir / "my-copy"
    copy.mkdir()
    (copy / "actions.jsonl").write_bytes((store.sessions_dir / name / "actions.jsonl").read_bytes())
    catch_up(store)

    assert found(store, "my-copy") == "aaaa1111"


def test_latest_in_an_empty_store_is_not_found(store: Store) -> None:
    catch_up(store)

    with pytest.raises(SessionNotFound, match="no session in the database"):
        found(store, "latest")
