"""What the system needs to run the daemon by itself: a systemd user unit, or a launchd plist.

Both name the interpreter, the store and the database by absolute paths, so that they work from
any directory and with no environment. A path may hold anything but control characters.
"""

from __future__ import annotations

import hashlib
import plistlib
import re
from typing import TYPE_CHECKING

from projections.daemon_control import command_line
from projections.daemon_state import log_path
from provenance_log.errors import ProvlogError

if TYPE_CHECKING:
    from provenance_log.store import Store

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.]+")
_NOT_IN_PROGRAMS = frozenset("\"'\\")
_NAME_CHARACTERS_MAX = 40
_HASH_CHARACTERS = 8

# Only what a user's own systemd can do without privileges: the daemon needs the files of the
# store and of the database wherever they are, and no network.
_SYSTEMD = """\
# Save this as ~/.config/systemd/user/{name}.service
# then: systemctl --user daemon-reload
#       systemctl --user enable --now {name}
# and, for it to run while you are not logged in: loginctl enable-linger
# What it has to say: journalctl --user -u {name}

[Unit]
Description=provlog daemon of {description}

[Service]
Type=exec
ExecStart={command}
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=2
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_UNIX

[Install]
WantedBy=default.target
"""

_LAUNCHD_HEAD = """\
<!--
Save this as ~/Library/LaunchAgents/{name}.plist
then: launchctl bootstrap gui/$(id -u) ~/Library/LaunchAgents/{name}.plist
and to end it: launchctl bootout gui/$(id -u)/{name}
What it has to say is in daemon.log, beside the logs.
-->
"""


class PathNotUsable(ProvlogError):
    """A path holds a character that a unit or plist can't; nothing was printed."""


def systemd_unit(store: Store) -> str:
    """Return a systemd user unit; raises `PathNotUsable`."""
    command = _checked_command(store)
    if not _NOT_IN_PROGRAMS.isdisjoint(command[0]):
        # systemd takes such a path as an argument only, and not as that of the program.
        command = ["/bin/sh", "-c", 'exec "$0" "$@"', *command]
    # systemd expands $NAME in arguments, but not in the path of the program, where a doubled $
    # would stay doubled. A colon in front (systemd 244) switches that off altogether.
    colon = ":" if any("$" in word for word in command) else ""
    return _SYSTEMD.format(
        name=unit_name(store),
        description=_quoted(str(store.root)),
        command=colon + " ".join(map(_quoted, command)),
    )


def launchd_plist(store: Store) -> str:
    """Return a launchd plist for a user's agents; raises `PathNotUsable`."""
    name = unit_name(store)
    content = {
        "Label": name,
        "ProgramArguments": _checked_command(store),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 10,
        "ProcessType": "Background",
        "WorkingDirectory": "/",
        "StandardOutPath": str(log_path(store)),
        "StandardErrorPath": str(log_path(store)),
    }
    declaration, _, rest = plistlib.dumps(content, sort_keys=False).decode().partition("\n")
    return f"{declaration}\n{_LAUNCHD_HEAD.format(name=name)}{rest}"


def unit_name(store: Store) -> str:
    """Return a name for the unit of this store, which another store of the user does not get."""
    directories = [part for part in store.root.parts[1:] if part not in {".claude", "provenance"}]
    project = _NOT_IN_NAMES.sub("-", directories[-1] if directories else "")
    digest = hashlib.sha256(str(store.root).encode("utf-8", "surrogateescape")).hexdigest()
    words = ["provlog", project[:_NAME_CHARACTERS_MAX].strip("-."), digest[:_HASH_CHARACTERS]]
    return "-".join(word for word in words if word)


def _checked_command(store: Store) -> list[str]:
    command = command_line(store)
    for word in command:
        if _CONTROL.search(word) or not _is_utf8(word):
            message = "the path holds a character that can't be written down there"
            hint = "rename it, or reach it by a link of another name"
            raise PathNotUsable(message, path=word, hint=hint)
    return command


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _quoted(word: str) -> str:
    """Return a word of a unit file in quotes, with nothing in it that systemd would expand."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
