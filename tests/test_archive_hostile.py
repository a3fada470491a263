"""Month files and indices that are damaged, or made by somebody who means harm."""

import io
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from archive_cases import (
    MONTH,
    NAME,
    archive,
    entry_of,
    furnished,
    log_of,
    names_in,
    restored,
    snapshot,
    states,
)
from copying_cases import put

from provenance_log import archive_files
from provenance_log.archive_index import read_index
from provenance_log.archive_trees import Member
from provenance_log.errors import ArchiveDamaged
from provenance_log.restoring import restore_sessions, unpacked_session
from provenance_log.store import Store


def refusal(store: Store, session_id: str = "s1") -> str:
    (outcome,) = restore_sessions(store, [session_id])
    assert outcome.state == "refused"
    return str(outcome.reason)


def change_index(store: Store, **changes: Any) -> None:
    path = store.archive_dir / "index.jsonl"
    values = [json.loads(line) for line in path.read_bytes().splitlines()]
    for value in values:
        if value["session_id"] == "s1":
            value.update(changes)
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


@pytest.mark.parametrize("twentieth", range(20))
def test_a_month_file_cut_anywhere_is_said_and_costs_only_the_sessions_it_no_longer_holds(
    twentieth: int, store: Store
) -> None:
    befores = {f"d{n}": snapshot(furnished(store, f"d{n}", f"s{n}")) for n in range(3)}
    archive(store)
    month = store.archive_dir / MONTH
    data = month.read_bytes()
    end = len(data) * twentieth // 20
    month.write_bytes(data[:end])
    whole = {e.session_id for e in read_index(store).values() if e.end <= end}

    outcomes = restore_sessions(store)

    assert {one.entry.session_id for one in outcomes if one.state == "restored"} == whole
    for one in outcomes:
        if one.state == "refused":
            assert str(month) in str(one.reason)
            assert f"session {one.entry.session_id} " in str(one.reason)
            assert "backup" in str(one.reason)
    assert names_in(store.sessions_dir) == [f"d{one[1:]}" for one in sorted(whole)]
    for name in names_in(store.sessions_dir):
        assert snapshot(store.sessions_dir / name) == befores[name]
    put(store, "new", log_of("s9", "end"))
    with pytest.raises(ArchiveDamaged, match="the index names"):
        archive(store, "new")
    assert month.read_bytes() == data[:end]
    assert "new" in names_in(store.sessions_dir)


def test_any_flipped_byte_of_a_part_is_noticed(store: Store) -> None:
    put(store, NAME, log_of("s1", "end"))
    archive(store)
    month = store.archive_dir / MONTH
    data = month.read_bytes()
    for offset in range(0, len(data), 7):
        changed = bytearray(data)
        changed[offset] ^= 0x10
        month.write_bytes(changed)
        with (
            pytest.raises(ArchiveDamaged, match="part of session s1"),
            unpacked_session(store, entry_of(store)),
        ):
            pass
    assert names_in(store.sessions_dir) == []


def test_a_month_file_that_is_gone_or_a_link_is_said(store: Store, tmp_path: Path) -> None:
    furnished(store)
    archive(store)
    month = store.archive_dir / MONTH
    month.rename(tmp_path / "elsewhere")
    assert "No such file" in refusal(store)
    month.symlink_to(tmp_path / "elsewhere")
    assert "not a plain file" in refusal(store)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"head": "0" * 64}, "the index names"),
        ({"lines": 2}, "the index names"),
        ({"bytes": 1}, "the index names"),
        ({"tree": "0" * 64}, "does not hold the files"),
        ({"files": 1}, "does not hold the files"),
        ({"size_bytes": 10}, "more bytes than the index says"),
        ({"unpacked_bytes": 1024}, "more bytes than the index says"),
        ({"unpacked_bytes": 2**50}, "another length"),
        ({"packed_bytes": 100}, "is cut off"),
        ({"packed_bytes": 2**50}, "another length"),
        ({"offset": 4}, "can't be unpacked"),
        ({"offset": 2**50}, "is cut off"),
        ({"month": "2020-01"}, "No such file"),
        ({"member": "other"}, "none of ours"),
    ],
)
def test_an_index_that_does_not_fit_the_archive_restores_nothing(
    changes: dict[str, Any], said: str, store: Store
) -> None:
    furnished(store)
    archive(store)
    change_index(store, **changes)
    assert said in refusal(store)
    assert names_in(store.sessions_dir) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"directory": "../../outside"},
        {"directory": ".hidden"},
        {"member": "/etc"},
        {"month": "../../2026-01"},
        {"head": "x"},
        {"offset": -1},
        {"lines": True},
        {"files": 1.5},
        {"session_id": ""},
        {"size_bytes": 2**64},
    ],
)
def test_an_index_with_a_line_that_is_none_of_ours_is_refused_by_name_and_line(
    changes: dict[str, Any], store: Store
) -> None:
    """D4."""
    furnished(store, "d1", "s1")
    furnished(store, "d2", "s2")
    archive(store)
    change_index(store, **changes)
    put(store, "new", log_of("s9", "end"))
    before = snapshot(store.root)
    for work in (lambda: restore_sessions(store), lambda: archive(store)):
        with pytest.raises(ArchiveDamaged, match=r"index\.jsonl, line 1: not a line of the index"):
            work()
    after = snapshot(store.root)
    assert {**after, "archiving.lock": None, ".": None} == {
        **before,
        "archiving.lock": None,
        ".": None,
    }


@pytest.mark.parametrize("line", [b"<<<<<<< HEAD", b"[]", b"{}", b"\xff"])
def test_a_merge_that_went_wrong_is_said(line: bytes, store: Store) -> None:
    furnished(store)
    archive(store)
    with (store.archive_dir / "index.jsonl").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(ArchiveDamaged, match="line 2"):
        restore_sessions(store)


def member(name: str, data: bytes = b"", **changes: Any) -> bytes:
    """A member as it is archived, or as somebody else would make it."""
    values: dict[str, Any] = {"is_directory": False, "mode": 0o644, "mtime_ns": 0, **changes}
    made = Member(name=name, size_bytes=changes.pop("size_bytes", len(data)), **_known(values))
    return archive_files._header(NAME, made) + data + bytes(-len(data) % 512)


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {key: values[key] for key in ("is_directory", "mode", "mtime_ns")}


TOP = member("", is_directory=True)
LOG = member("actions.jsonl", log_of("s1", "end"))


def by_tarfile(change: Callable[[tarfile.TarInfo], None]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo(f"{NAME}/evil")
        info.pax_headers = {"mtime": "1.000000000", "path": f"{NAME}/evil", "size": "0"}
        change(info)
        tar.addfile(info)
    return made.getvalue()


def as_link(kind: bytes) -> Callable[[tarfile.TarInfo], None]:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, "/etc/passwd"

    return change


HOSTILE = {
    "upwards": TOP + LOG + member("../../outside"),
    "absolute": TOP + LOG + member("/outside"),
    "dot": TOP + LOG + member("./x"),
    "no parent": TOP + LOG + member("missing/x"),
    "below a file": TOP + LOG + member("actions.jsonl/x"),
    "twice": TOP + LOG + LOG,
    "NUL": TOP + LOG + member("a\0b"),
    "no top": LOG,
    "no log": TOP + member("other", b"x"),
    "nothing": b"",
    "zeros": TOP + LOG + bytes(1024),
    "symlink": TOP + LOG + by_tarfile(as_link(tarfile.SYMTYPE)),
    "hard link": TOP + LOG + by_tarfile(as_link(tarfile.LNKTYPE)),
    "device": TOP + LOG + by_tarfile(as_link(tarfile.CHRTYPE)),
    "pipe": TOP + LOG + by_tarfile(as_link(tarfile.FIFOTYPE)),
    "sparse": TOP + LOG + by_tarfile(as_link(tarfile.GNUTYPE_SPARSE)),
    "long name": TOP + LOG + by_tarfile(as_link(tarfile.GNUTYPE_LONGNAME)),
    "global header": TOP + LOG + by_tarfile(as_link(tarfile.XGLTYPE)),
    "bomb": TOP + LOG + member("big", bytes(1024), size_bytes=2**40),
    "cut": (TOP + LOG)[:-512],
    "garbage": TOP + LOG + b"garbage" * 512,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_unpacks_nothing_anywhere(
    name: str, store: Store, tmp_path: Path
) -> None:
    """D4: whatever the index promises, only members that we write are unpacked."""
    put(store, NAME, log_of("s1", "end"))
    archive(store)
    packed = lzma.compress(HOSTILE[name])
    (store.archive_dir / MONTH).write_bytes(packed)
    change_index(
        store,
        offset=0,
        packed_bytes=len(packed),
        unpacked_bytes=len(HOSTILE[name]),
        files=2,
        size_bytes=2**45,
    )
    before = snapshot(tmp_path)
    assert refusal(store)
    with pytest.raises(ArchiveDamaged), unpacked_session(store, entry_of(store)):
        pass
    ours = {".", "archiving.lock", "sessions"}
    assert {
        path: found
        for path, found in snapshot(tmp_path).items()
        if path.rpartition("provenance/")[2] not in ours and found != before.get(path)
    } == {}


def test_a_part_that_would_need_gigabytes_to_unpack_is_refused(store: Store) -> None:
    put(store, NAME, log_of("s1", "end"))
    archive(store)
    dictionary = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 256 * 1024 * 1024}]
    packed = lzma.compress(TOP + LOG, filters=dictionary)
    (store.archive_dir / MONTH).write_bytes(packed)
    change_index(store, offset=0, packed_bytes=len(packed))
    assert "Memory usage limit" in refusal(store)


def test_the_hostile_cases_differ_from_ours_only_in_what_they_are_about(store: Store) -> None:
    """Without this the tests above could pass for another reason."""
    directory = put(store, NAME, log_of("s1", "end")).parent
    assert states(archive(store)) == {NAME: "archived"}
    part = lzma.decompress((store.archive_dir / MONTH).read_bytes())
    assert len(part) == len(TOP + LOG)
    assert part.replace(b"\0", b"").count(b"actions.jsonl") == 1
    restored(store)
    assert names_in(directory) == ["actions.jsonl"]
