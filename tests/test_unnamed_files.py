"""Files that are made anew: what they hold, and what a kill leaves."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from provenance_log.unnamed_files import make_anew

KILLS = 20
_WRITER = """
import sys
from itertools import count
from pathlib import Path
from provenance_log.unnamed_files import make_anew
for number in count():
    make_anew(Path(sys.argv[1]), b"%d\\n" % (number % 2))
    print(flush=True)
"""


def _old(path: Path) -> None:
    path.write_bytes(b"old\n")


def _same(path: Path) -> None:
    path.write_bytes(b"new\n")


def _symlink(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"new\n")
    path.symlink_to(other)


def _nothing(_path: Path) -> None:
    pass


@pytest.mark.parametrize("before", [_nothing, _old, _same, _symlink])
def test_file_holds_its_content_whatever_was_there(tmp_path: Path, before: object) -> None:
    path = tmp_path / "entry"
    assert callable(before)
    before(path)
    make_anew(path, b"new\n")

    assert not path.is_symlink()
    assert path.read_bytes() == b"new\n"


def test_kill_while_a_file_is_replaced_leaves_it_whole_or_gone_and_nothing_beside(
    tmp_path: Path,
) -> None:
    random = Random(7)
    for _ in range(KILLS):
        command = [sys.executable, "-c", _WRITER, str(tmp_path / "entry")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(random.uniform(0, 0.02))
            writer.kill()
        assert {path.name for path in tmp_path.iterdir()} <= {"entry"}
        if (tmp_path / "entry").exists():
            assert (tmp_path / "entry").read_bytes() in (b"0\n", b"1\n")
