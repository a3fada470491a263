"""What people, programs and power cuts do to a log or its directory behind everybody's back.

Each harm is a function of a world, a place and two numbers of chance, and does the same to the
disk and to the model. What a harm leaves is what a reader must cope with; none asks the program.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace

from attacks.model_bytes import lines_of, whole
from attacks.model_world import World

Harm = Callable[[World, str, int, int], None]

FRAGMENTS = (b"{", b'{"timestamp":"2026-01-0', b'{"a":"\xc3', b"\x00" * 300, b'"}')
_AS_IN_THE_FIELD_BYTES = (200, 700, 4096)


def foreign_line(number: int) -> bytes:
    """Return a line of schema 1.0.0, as an older tool or a person writes it."""
    value = {
        "timestamp": f"2026-01-10T14:30:{number % 60:02d}Z",
        "action_id": number % 90 + 1,
        "type": "read",
        "tool": "Read",
        "status": "success",
        "details": {"by hand": number},
    }
    return json.dumps(value).encode()


def tear(world: World, name: str, one: int, _other: int) -> None:
    """Leave a beginning of a line at the end, as a kill or a full disk does."""
    world.add(name, FRAGMENTS[one % len(FRAGMENTS)])


def leave_off_the_newline(world: World, name: str, one: int, _other: int) -> None:
    """Add a whole line without its newline, as `printf >>` does."""
    world.add(name, foreign_line(one + world.number()))


def add_by_hand(world: World, name: str, one: int, other: int) -> None:
    """Add a line that is no action, or one of an older schema, as `echo >>` does."""
    line = (b"{}", b"", foreign_line(one + world.number()), b"[]", b" \t ")[other % 5]
    world.add(name, line + b"\n")


def fill_with_nul(world: World, name: str, one: int, _other: int) -> None:
    """Add a block of NUL bytes, as a file system does whose data came too late."""
    world.add(name, b"\x00" * _AS_IN_THE_FIELD_BYTES[one % 3])


def empty(world: World, name: str, _one: int, _other: int) -> None:
    """Cut the log to nothing."""
    world.overwrite(name, b"")


def cut_between_lines(world: World, name: str, one: int, _other: int) -> None:
    """Cut the log after one of its lines."""
    lines = lines_of(world.data(name))
    world.overwrite(name, b"".join(line + b"\n" for line in lines[: one % (len(lines) + 1)]))


def cut_anywhere(world: World, name: str, one: int, other: int) -> None:
    """Cut the log at some byte."""
    data = world.data(name)
    world.overwrite(name, data[: (one * 37 + other) % (len(data) + 1)])


def cut_and_grow_again(world: World, name: str, one: int, other: int) -> None:
    """Cut the log and let it grow past its old end, before anybody looks."""
    data = world.data(name)
    kept = b"".join(line + b"\n" for line in lines_of(data)[: one % 4])
    grown = kept
    while len(grown) <= len(data) + other % 3:
        grown += foreign_line(world.number()) + b"\n"
    world.overwrite(name, grown)


def save_unchanged(world: World, name: str, _one: int, _other: int) -> None:
    """Save the log from an editor, as it was."""
    world.replace(name, world.data(name))


def save_changed(world: World, name: str, one: int, other: int) -> None:
    """Save the log from an editor with one line lost, doubled, or exchanged with the next."""
    lines = lines_of(world.data(name))
    if lines:
        at = one % len(lines)
        middle = lines[at : at + 2]
        changed = (middle[1:], [middle[0], *middle], middle[::-1])[other % 3]
        lines[at : at + 2] = changed
    tail = world.data(name)[len(whole(world.data(name))) :]
    world.replace(name, b"".join(line + b"\n" for line in lines) + tail)


def save_another_session(world: World, name: str, one: int, other: int) -> None:
    """Put the log of another session there."""
    others = [each for each in world.logs() if each != name]
    if others:
        world.replace(name, world.data(others[one % len(others)]))
    else:
        world.replace(name, foreign_line(one + other) + b"\n")


def edit_in_place(world: World, name: str, one: int, other: int) -> None:
    """Change some bytes of a line, first, last or between, and no length."""
    data = world.data(name)
    lines = data.split(b"\n")
    at = (0, len(lines) - 1, len(lines) // 2, one % len(lines), max(0, len(lines) - 2))[one % 5]
    old = lines[at]
    lines[at] = _EDITS[other % len(_EDITS)](old, one)
    assert len(lines[at]) == len(old)
    world.overwrite(name, b"\n".join(lines))


def edit_a_newline(world: World, name: str, one: int, _other: int) -> None:
    """Overwrite the end of a line, so that two are one."""
    data = world.data(name)
    ends = [place for place, byte in enumerate(data) if byte == 0x0A]
    if ends:
        at = ends[-1] if one % 2 else ends[one % len(ends)]
        world.overwrite(name, data[:at] + b" " + data[at + 1 :])


def _other_tool(line: bytes, _one: int) -> bytes:
    return line.replace(b'"Read"', b'"Grep"', 1)


def _other_link(line: bytes, one: int) -> bytes:
    start = line.rfind(b'"prev":"') + 8
    if start < 8:
        return line
    digits = line[start:]
    turned = digits.replace(b"a", b"\x01").replace(b"b", b"a").replace(b"\x01", b"b")
    return line[:start] + (turned if one % 2 else digits)


def _no_json(line: bytes, _one: int) -> bytes:
    return line.replace(b"{", b"[", 1)


def _some_nul(line: bytes, one: int) -> bytes:
    at = one % max(1, len(line))
    return line[:at] + b"\x00" * len(line[at : at + 8]) + line[at + 8 :]


_EDITS: tuple[Callable[[bytes, int], bytes], ...] = (
    _other_tool,
    _other_link,
    _no_json,
    _some_nul,
    lambda line, _one: b" " * len(line),
)


def rotate(world: World, name: str, one: int, _other: int) -> None:
    """Rename the log away and make a new one, or leave that to the next append."""
    place = world.places[name]
    old = world.log(name)
    old.rename(old.with_name(f"actions.jsonl.{world.number()}"))
    place.data, place.form = None, "plain"
    if one % 2:
        world.log(name).touch()
        place.data = b""
        world.touch(name)


def copy_and_truncate(world: World, name: str, _one: int, _other: int) -> None:
    """Copy the log away and empty it, as logrotate does with `copytruncate`."""
    world.log(name).with_name(f"actions.jsonl.{world.number()}").write_bytes(world.data(name))
    world.overwrite(name, b"")


def link_elsewhere(world: World, name: str, one: int, _other: int) -> None:
    """Give the log a second name, or move it and leave a symlink in its place."""
    other = world.elsewhere / f"log-{world.number()}"
    if one % 2:
        os.link(world.log(name), other)
        world.places[name].form = "hard link"
    else:
        world.log(name).rename(other)
        world.log(name).symlink_to(other)
        world.places[name].form = "symlink"


def delete(world: World, name: str, _one: int, _other: int) -> None:
    """Delete the directory."""
    world.remove(name)


def delete_the_log(world: World, name: str, _one: int, _other: int) -> None:
    """Delete the log and keep its directory."""
    world.log(name).unlink()
    world.places[name] = replace(world.places[name], data=None, form="plain")


def delete_and_make_again(world: World, name: str, one: int, _other: int) -> None:
    """Delete the directory and make it again: with what it held, a part of that, or nothing."""
    was = world.remove(name)
    lines = lines_of(was.data or b"")
    kept = (was.data or b"", b"".join(line + b"\n" for line in lines[: one % 5]), b"")
    world.make(name, kept[one % 3])


def rename(world: World, name: str, _one: int, _other: int) -> None:
    """Give the directory a name that nobody had."""
    world.rename(name, world.free_name())


def exchange(world: World, name: str, one: int, _other: int) -> None:
    """Let two directories exchange their names."""
    others = [each for each in sorted(world.places) if each != name]
    if others:
        other, spare = others[one % len(others)], world.free_name()
        world.rename(name, spare)
        world.rename(other, name)
        world.rename(spare, other)


def copy(world: World, name: str, _one: int, _other: int) -> None:
    """Copy the directory beside itself: the same session twice."""
    world.copy(name, world.free_name())


def fork(world: World, name: str, one: int, other: int) -> None:
    """Copy the directory, and let both go on differently."""
    twin = world.free_name()
    world.copy(name, twin)
    for each, count in ((name, one % 3), (twin, other % 3)):
        if world.places[each].form != "symlink":
            added = (foreign_line(world.number()) + b"\n" for _ in range(count))
            world.add(each, b"".join(added))


LOG_HARMS: tuple[Harm, ...] = (
    tear,
    leave_off_the_newline,
    add_by_hand,
    fill_with_nul,
    empty,
    cut_between_lines,
    cut_anywhere,
    cut_and_grow_again,
    save_unchanged,
    save_changed,
    save_another_session,
    edit_in_place,
    edit_a_newline,
    rotate,
    copy_and_truncate,
    link_elsewhere,
    delete_the_log,
)
"""For a log that can be read."""

DIRECTORY_HARMS: tuple[Harm, ...] = (
    delete,
    delete_and_make_again,
    rename,
    exchange,
)
ADDING_HARMS: tuple[Harm, ...] = (copy, fork, fork)
"""Leave one directory more."""
