"""The errors a user can meet, each with the place, the reason and the next command.

Every error that leaves this project on purpose is a `ProvlogError`, so that a caller can catch
one class and the command line can print one kind of message.
Each class says in its docstring what the caller may do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


READ_HINT = "check its permissions, and how many files a process may open (`ulimit -n`)"
"""What helps where the system refuses to read something that is there."""


class ProvlogError(Exception):
    """An error with the file, the line or byte, the reason and a hint what to do next.

    `line` counts from 1, `offset` is in bytes from 0, and `hint` is a sentence or a command.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        offset: int | None = None,
        hint: str | None = None,
    ) -> None:
        """Keep the parts, so that a machine can read them as well as a person."""
        super().__init__(message)
        self.message = message
        self.path = path
        self.line = line
        self.offset = offset
        self.hint = hint

    def __str__(self) -> str:
        """Return `path, line N, byte M: message`, and the hint on a line of its own."""
        place = ", ".join(
            part
            for part in (
                "" if self.path is None else str(self.path),
                "" if self.line is None else f"line {self.line}",
                "" if self.offset is None else f"byte {self.offset}",
            )
            if part
        )
        text = f"{place}: {self.message}" if place else self.message
        return f"{text}\nhint: {self.hint}" if self.hint else text


class StoreNotFound(ProvlogError):
    """There is no store here or above; `provlog init` makes one."""


class StoreNotWritable(ProvlogError):
    """A directory or file of the store can't be written; nothing was changed."""


class SessionNotFound(ProvlogError):
    """No session answers to that id, prefix or directory, or several do."""


class LogUnsafe(ProvlogError):
    """The log is not a plain file of its own (a symlink, device, pipe or hard link)."""


class LineInvalid(ProvlogError):
    """A line is not an action; `reason` is one of `format.REASONS`."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the reason code beside the sentence."""
        super().__init__(message)
        self.reason = reason


class AppendNotWritten(ProvlogError):
    """Nothing of this append is in the log; the next append may simply try again."""


class AppendUnknown(ProvlogError):
    """The line was written, but a sync failed: it may or may not survive a power cut."""


class SessionNotRecorded(ProvlogError):
    """The session could not be started, so what belongs to it can't be kept."""


class IdConflict(ProvlogError):
    """An event with this id but other content is already in the log; nothing was written."""


class WrongExpectedActionId(ProvlogError):
    """The log has moved on since the caller looked; nothing was written."""


class LockHeld(ProvlogError):
    """Another process holds this lock; the message names it."""


class DatabaseHeld(ProvlogError):
    """Another process has the database open; the logs keep growing meanwhile."""


class DatabaseCorrupt(ProvlogError):
    """The database can't be read; it is derived, so `provlog rebuild` makes it anew."""


class DatabaseNewer(ProvlogError):
    """The database was made by a newer version of this program; nothing was touched."""


class NotADatabase(ProvlogError):
    """The file at the database path is not a DuckDB database; it was left alone."""


class TranscriptInvalid(ProvlogError):
    """The file is not a transcript of the kind asked for; nothing of it was imported."""


class PayloadInvalid(ProvlogError):
    """What a hook got is no payload of Claude Code; nothing was recorded."""


class SettingsInvalid(ProvlogError):
    """A file of settings (config.yaml, settings.json …) can't be read as one; it was left alone."""


class ManifestInvalid(ProvlogError):
    """The manifest can't be read as one; nothing was made of it, and it was left as it is."""


class ArchiveDamaged(ProvlogError):
    """A file of the archive does not hold what its index says; nothing was changed."""


class ArchiveRefused(ProvlogError):
    """Something keeps a session from being archived or restored; it was left as it is."""
