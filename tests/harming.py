"""What happens to a log behind the projector's back, as tables for the tests."""

import os
import shutil
from collections.abc import Callable

from projecting import Log, content_of, rewrite


def cut_two_lines(log: Log) -> None:
    rewrite(log, log.lines[:-2])


def cut_and_regrow(log: Log) -> None:
    lines = log.lines
    rewrite(log, [*lines[:-2], *(line.replace(b"Read", b"Grep") for line in lines[-2:]), b"{}"])


def save_another_first_line(log: Log) -> None:
    lines = log.lines
    rewrite(log, [lines[0].replace(b"why?", b"what"), *lines[1:]])


def change_the_last_line(log: Log) -> None:
    rewrite(log, [*log.lines[:-1], log.lines[-1].replace(b"Read", b"Grep")])


def change_a_line_in_the_middle(log: Log) -> None:
    lines = log.lines
    middle = len(lines) // 2
    rewrite(log, [*lines[:middle], lines[middle].replace(b"Read", b"Grep"), *lines[middle + 1 :]])


def save_a_changed_copy(log: Log) -> None:
    lines = log.lines
    middle = len(lines) // 2
    lines[middle] = lines[middle].replace(b"Read", b"Grep")
    copy = log.path.with_name("copy")
    copy.write_bytes(b"".join(line + b"\n" for line in lines))
    copy.replace(log.path)


def put_another_session_there(log: Log) -> None:
    log.path.write_bytes(content_of("other", ["tool call"]))


def empty_the_log(log: Log) -> None:
    rewrite(log, [])


def remove_the_directory(log: Log) -> None:
    shutil.rmtree(log.path.parent)


def remove_the_directory_and_make_it_again(log: Log) -> None:
    shutil.rmtree(log.path.parent)
    log.path.parent.mkdir()
    log.path.write_bytes(content_of("again", ["tool call"]))


DAMAGES: dict[Callable[[Log], None], tuple[str, list[str]]] = {
    cut_two_lines: ("truncated", ["s"]),
    cut_and_regrow: ("edited", ["s"]),
    save_another_first_line: ("replaced", ["s"]),
    change_the_last_line: ("edited", ["s"]),
    change_a_line_in_the_middle: ("edited", ["s"]),
    save_a_changed_copy: ("edited", ["s"]),
    put_another_session_there: ("replaced", ["other"]),
    empty_the_log: ("truncated", []),
    remove_the_directory: ("gone", []),
    remove_the_directory_and_make_it_again: ("replaced", ["again"]),
}
"""What is done to the log of session `s`, what it is told as, and the sessions there are then."""


def touch(log: Log) -> None:
    os.utime(log.path, ns=(5, 5))


def save_an_equal_copy(log: Log) -> None:
    copy = log.path.with_name("copy")
    copy.write_bytes(log.path.read_bytes())
    copy.replace(log.path)


def rename_the_directory(log: Log) -> None:
    log.path.parent.rename(log.path.parent.with_name("renamed"))


def leave_a_torn_tail(log: Log) -> None:
    log.add_bytes(b'{"timestamp":"2026')


def remove_the_directory_and_bring_it_back(log: Log) -> None:
    content = log.path.read_bytes()
    shutil.rmtree(log.path.parent)
    log.path.parent.mkdir()
    log.path.write_bytes(content)


BENIGN: tuple[Callable[[Log], None], ...] = (
    touch,
    save_an_equal_copy,
    rename_the_directory,
    leave_a_torn_tail,
    remove_the_directory_and_bring_it_back,
)
