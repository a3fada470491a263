"""Keep importing transcripts as they grow.

Looks at sizes and times only, so that nothing that is quiet is read again. While a session goes
on, what may still change (a call without its result, the last message) is left out; once its
files have been quiet for a while, everything is imported.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provenance_log.claude_code.families import transcript_files
from provenance_log.claude_code.importing import import_transcripts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from provenance_log.claude_code.session_import import SessionReport
    from provenance_log.errors import TranscriptInvalid
    from provenance_log.store import Store

QUIET_S = 30.0
"""After this long without a change a session is imported to its end."""


@dataclass(slots=True)
class Step:
    """What one look brought."""

    grown: list[SessionReport] = field(default_factory=list)
    """Sessions that are new or got actions."""
    refused: list[TranscriptInvalid] = field(default_factory=list)
    """Files that are no transcripts, each told once for as long as it does not change."""


class TranscriptFollower:
    """Imports what has changed since the last step."""

    def __init__(
        self,
        store: Store,
        paths: Sequence[Path],
        *,
        quiet_s: float = QUIET_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Follow files and directories, which need not be there yet."""
        self._store = store
        self._paths = paths
        self._quiet_s = quiet_s
        self._now = now
        self._seen: dict[Path, tuple[int, int]] = {}
        self._held: set[Path] = set()
        """Files of which something was left out."""

    def step(self) -> Step:
        """Look once, and import what has changed.

        Raises the errors of `import_transcripts`; the next step then tries the same again.
        """
        return self._import(self._look(), is_last=False)

    def finish(self) -> Step:
        """Import what was left out so far."""
        return self._import(self._look(), is_last=True)

    def _look(self) -> dict[Path, tuple[int, int]]:
        found = {}
        there = [path for path in self._paths if path.exists()]
        for path in transcript_files(there, []):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # removed between the two looks
            found[path] = (status.st_mtime_ns, status.st_size)
        return found

    def _import(self, found: dict[Path, tuple[int, int]], *, is_last: bool) -> Step:
        step = Step()
        now = self._now()
        growing: dict[Path, tuple[int, int]] = {}
        quiet: dict[Path, tuple[int, int]] = {}
        for path, signature in found.items():
            is_quiet = is_last or now - signature[0] / 1e9 >= self._quiet_s
            has_changed = self._seen.get(path) != signature
            if is_quiet and (has_changed or path in self._held):
                quiet[path] = signature
            elif has_changed:
                growing[path] = signature
        for chosen, holds_back in ((quiet, False), (growing, True)):
            if chosen:
                self._import_some(chosen, step, holds_back=holds_back)
        return step

    def _import_some(
        self, chosen: dict[Path, tuple[int, int]], step: Step, *, holds_back: bool
    ) -> None:
        paths = sorted({_with_its_session(path) for path in chosen})
        report = import_transcripts(self._store, paths, holds_back=holds_back)
        step.grown += [one for one in report.sessions if one.added_count]
        step.refused += report.refused
        self._seen |= chosen
        if holds_back:
            self._held |= chosen.keys()
        else:
            self._held -= chosen.keys()


def _with_its_session(path: Path) -> Path:
    """Return the file of the session whose subagent's file this is, which brings it along."""
    for folder in path.parents:
        if folder.name == "subagents":
            trunk = folder.parent.with_suffix(".jsonl")
            return trunk if trunk.is_file() else path
    return path
