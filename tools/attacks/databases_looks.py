"""The looks at a harmed database: what a reader finds, a command makes of it, and a daemon.

A harm may be harmless, or noticed: then the error says what to do, and doing that heals it. What
must never be is an answer that the logs do not give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attacks.databases_image import Image, content_of, their_content
from projections.daemon import Daemon
from projections.daemon_notices import Notice
from projections.projector import catch_up
from projections.rebuild import is_dedicated, rebuild
from provenance_log import lock_files
from provenance_log.errors import DatabaseCorrupt, NotADatabase, ProvlogError

_LOOKS_MAX = 60
_RESCAN_S = 0.005


def read(image: Image) -> list[str]:
    """Read everything, as somebody does before any projector comes by."""
    try:
        found = content_of(image.store)
    except ProvlogError as error:
        return list(unclear(error))
    return [] if found in image.readable else ["a reader gets wrong numbers"]


def project(image: Image) -> list[str]:
    """Catch up by a command and read everything; where it fails, do nothing more."""
    return _projected(image, heals=False)


def project_and_heal(image: Image) -> list[str]:
    """Catch up by a command; where it or reading fails, do what the error says."""
    return _projected(image, heals=True)


def _projected(image: Image, *, heals: bool) -> list[str]:
    try:
        catch_up(image.store)
        found = content_of(image.store)
    except (DatabaseCorrupt, NotADatabase) as error:
        return [*unclear(error), *(_rebuilt(image) if heals else ())]
    except ProvlogError as error:
        return [f"{type(error).__name__}: {error}"]
    wrong = [] if found == image.caught_up else ["wrong numbers after catching up"]
    return [*wrong, *_theirs(image), *image.changed_logs()]


def _rebuilt(image: Image) -> list[str]:
    if not is_dedicated(image.store):
        return _kept(image)
    try:
        rebuild(image.store)
        found = content_of(image.store)
    except ProvlogError as error:
        return [f"the rebuild failed: {type(error).__name__}: {error}"]
    wrong = [] if found == image.caught_up else ["wrong numbers after the rebuild"]
    return [*wrong, *image.changed_logs()]


def _kept(image: Image) -> list[str]:
    """A database with somebody else's tables is refused, and its bytes are left alone."""
    before = image.store.database.read_bytes()
    try:
        rebuild(image.store)
    except (DatabaseCorrupt, NotADatabase):
        same = image.store.database.read_bytes() == before
        return [] if same else ["a rebuild that was refused wrote to the file"]
    except ProvlogError as error:
        return [f"{type(error).__name__}: {error}"]
    wrong = [] if content_of(image.store) == image.caught_up else ["wrong numbers after a rebuild"]
    return [*wrong, *_theirs(image)]


def _theirs(image: Image) -> Iterator[str]:
    """Somebody else's tables hold what they held, or are refused as damaged."""
    try:
        if their_content(image) != image.theirs:
            yield "somebody else's table changed"
    except DatabaseCorrupt:
        return


def watch(image: Image, harm: Callable[[], None], *, is_up: bool) -> list[str]:
    """Do a harm to a daemon's database, and have the daemon heal it, by itself and for good.

    With `is_up` the harm is done between two looks of a daemon that has projected everything, and
    the last look before it has closed the database.
    """
    if not is_up:
        harm()
    watched = _Watched(image, harm if is_up else None)
    daemon = Daemon(image.store, watched.tell, rescan_s=_RESCAN_S, is_polling=True)
    watched.stop = daemon.stop
    try:
        with lock_files.exclusive_lock(image.store.projector_lock):
            daemon.run_locked(watched.after_look)
    except ProvlogError as error:
        return [f"the daemon ended: {error}"]
    return [*watched.found, *image.changed_logs()]


class _Watched:
    """What is looked at after each look of a daemon, in its own thread: nothing is open then."""

    def __init__(self, image: Image, harm: Callable[[], None] | None) -> None:
        self.found: list[str] = []
        self.stop: Callable[[], None] = lambda: None
        self._image = image
        self._harm = harm
        self._count = 0
        self._said: list[str] = []

    def tell(self, notice: Notice) -> None:
        self._said.append(f"{notice.event}: {notice.message}")

    def after_look(self) -> None:
        self._count += 1
        if self._count > _LOOKS_MAX:
            self.found.append(f"not healed after {_LOOKS_MAX} looks; it said {self._said[-3:]}")
            self.stop()
        elif self._is_right():
            harm, self._harm = self._harm, None
            if harm is None:
                self.stop()
            else:
                harm()

    def _is_right(self) -> bool:
        """Whether everything is there; an error or older numbers may be there for a while."""
        if not self._image.store.database.exists():
            return False
        try:
            found = content_of(self._image.store)
        except ProvlogError:
            return False
        if found != self._image.caught_up and found not in self._image.readable:
            self.found.append("a reader gets wrong numbers while the daemon heals")
        return found == self._image.caught_up


def unclear(error: ProvlogError) -> Iterator[str]:
    """Yield a sentence for an error that leaves its reader without the next step."""
    if not error.hint:
        yield f"an error that does not say what to do: {type(error).__name__}: {error}"
