"""What a project has set: `config.yaml` and `action-types.yaml` of its store, over the defaults.

Reading YAML costs more than recording an action does, so what the files came to is kept as JSON in
`settings-cache.json` of the store, and believed as long as both files look the same. The cache is
disposable, and a store that can't be written does without.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import orjson

from provenance_log import files
from provenance_log.appender import Durability
from provenance_log.errors import READ_HINT, SettingsInvalid
from provenance_log.format import ACTION_TYPES
from provenance_log.redact import RedactionSettings
from provenance_log.store import CONFIG_NAME
from provenance_log.taxonomy import Taxonomy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DetailLevel = Literal["minimal", "standard", "full"]
"""How much of inputs and outputs a tracker keeps."""

TAXONOMY_NAME = "action-types.yaml"
CACHE_NAME = "settings-cache.json"
FILE_BYTES_MAX = 1024 * 1024

_VERSION = 1
"""Grows when the same files come to other settings."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one store."""

    taxonomy: Taxonomy
    redaction: RedactionSettings = field(default_factory=RedactionSettings)
    durability: Durability = "process"
    detail_level: DetailLevel = "standard"
    follows_claude_code: bool = False
    """Whether the daemon imports the transcripts of Claude Code as they grow."""


def load_settings(root: Path, *, is_cached: bool = True) -> Settings:
    """Return the settings of the store at `root`; what is not set there has its default.

    What was read is kept for the next time unless `is_cached` is false.
    Raises `SettingsInvalid`, with the line or the key, for a file that can't be read as settings.
    """
    signature = [_VERSION, *(_signature(root / name) for name in (CONFIG_NAME, TAXONOMY_NAME))]
    cached = _read_cache(root, signature)
    if cached is not None:
        return cached
    config = _read(root / CONFIG_NAME)
    taxonomy = _read(root / TAXONOMY_NAME)
    plain = {
        "taxonomy": _taxonomy(_packaged_taxonomy() | taxonomy, root / TAXONOMY_NAME),
        **_configuration(_Reader(config, root / CONFIG_NAME)),
    }
    content = orjson.dumps({"files": signature, "settings": plain})
    if not is_cached:
        return _settings(plain)
    with suppress(OSError):  # a store that can't be written is read anew each time
        # Made anew rather than replaced: a cache may be missing for a moment, and a kill leaves
        # no other file behind.
        (root / CACHE_NAME).unlink(missing_ok=True)
        files.create_atomically(root / CACHE_NAME, content)
    return _settings(plain)


def default_settings() -> Settings:
    """Return the settings of a store that sets nothing."""
    plain = {"taxonomy": _taxonomy(_packaged_taxonomy(), None), **_configuration(_Reader({}, None))}
    return _settings(plain)


def _signature(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _read_cache(root: Path, signature: list[Any]) -> Settings | None:
    try:
        cached = orjson.loads((root / CACHE_NAME).read_bytes())
        if cached["files"] == signature:
            return _settings(cached["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # it is not there, or somebody else wrote it
    return None


def _read(path: Path) -> dict[str, Any]:
    from provenance_log.yaml_reading import read_yaml_mapping  # noqa: PLC0415 - dear; see above

    try:
        data = path.read_bytes()
        if len(data) > FILE_BYTES_MAX:
            raise SettingsInvalid(f"larger than {FILE_BYTES_MAX} bytes", path=path)
        text = data.decode()
    except FileNotFoundError:
        return {}
    except OSError as error:
        message = f"can't be read: {error.strerror or error}"
        raise SettingsInvalid(message, path=path, hint=READ_HINT) from error
    except UnicodeDecodeError as error:
        raise SettingsInvalid("not UTF-8", path=path, offset=error.start) from error
    if not re.sub(r"(?m)^\s*(#.*|---\s*)?$", "", text).strip():
        return {}  # comments alone are no document
    return read_yaml_mapping(text, path, refusal=SettingsInvalid)


def _packaged_taxonomy() -> dict[str, Any]:
    from importlib import resources  # noqa: PLC0415 - as above

    from provenance_log.yaml_reading import read_yaml_mapping  # noqa: PLC0415 - as above

    path = resources.files("provenance_log") / "templates" / TAXONOMY_NAME
    with resources.as_file(path) as place:
        return read_yaml_mapping(place.read_text("utf-8"), place, refusal=SettingsInvalid)


class _Reader:
    """Takes settings out of a mapping and says by name which one is wrong."""

    def __init__(self, values: Any, path: Path | None, above: str = "") -> None:
        self._above = above
        self._path = path
        if values is None:
            values = {}
        if not isinstance(values, dict):
            raise self._refused("", "is no mapping of keys to values")
        self._values = values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def known(self, key: str, allowed: tuple[str, ...]) -> str:
        """Return a key that must be one of the allowed words."""
        if key not in allowed:
            raise self._refused(key, f"is not one of {', '.join(allowed)}")
        return key

    def below(self, key: str) -> _Reader:
        """Return a reader of a mapping inside this one; an empty one where it is missing."""
        return _Reader(self._values.get(key), self._path, f"{self._above}{key}.")

    def boolean(self, key: str, *, default: bool) -> bool:
        """Return `true` or `false`."""
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise self._refused(key, "is neither true nor false")
        return value

    def one_of(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        """Return one of the allowed words."""
        value = self._values.get(key, default)
        if value not in allowed:
            raise self._refused(key, f"is not one of {', '.join(allowed)}")
        return str(value)

    def texts(self, key: str) -> list[str]:
        """Return a list of texts."""
        value = self._values.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._refused(key, "is no list of texts")
        return value

    def names(self, key: str) -> list[str]:
        """Return a list of texts that have a letter or a digit in them."""
        names = self.texts(key)
        for name in names:
            if not any(map(str.isalnum, name)):
                raise self._refused(key, f"holds {name!r}, in which is no letter or digit")
        return names

    def expressions(self, key: str) -> list[tuple[str, str]]:
        """Return named regular expressions that compile."""
        value = self._values.get(key) or {}
        if not isinstance(value, dict):
            raise self._refused(key, "is no mapping of names to regular expressions")
        return [(name, self.expression(f"{key}.{name}", text)) for name, text in value.items()]

    def expression(self, key: str, text: object) -> str:
        """Return a regular expression that compiles."""
        try:
            re.compile(text if isinstance(text, str) else "(")
        except re.error as error:
            raise self._refused(key, f"is no regular expression: {error}") from error
        return str(text)

    def _refused(self, key: str, reason: str) -> SettingsInvalid:
        name = f"{self._above}{key}".rstrip(".") or "it"
        return SettingsInvalid(f"{name} {reason}", path=self._path)


def _configuration(config: _Reader) -> dict[str, Any]:
    redaction = config.below("redaction")
    return {
        "durability": config.one_of("durability", get_args(Durability), "process"),
        "detail_level": config.one_of("detail_level", get_args(DetailLevel), "standard"),
        "follows_claude_code": config.below("claude_code").boolean("follow", default=False),
        "redaction": {
            "is_enabled": redaction.boolean("enabled", default=True),
            "patterns": redaction.expressions("patterns"),
            "excluded_rules": redaction.texts("exclude_rules"),
            "excluded_patterns": [
                redaction.expression("exclude_patterns", text)
                for text in redaction.texts("exclude_patterns")
            ],
            "secret_keys": redaction.names("secret_keys"),
        },
    }


def _taxonomy(values: dict[str, Any], path: Path | None) -> dict[str, Any]:
    reader = _Reader(values, path)
    types, events = reader.below("action_types"), reader.below("event_types")
    tools = {
        tool: types.known(action_type, ACTION_TYPES)
        for action_type in types
        for tool in types.below(action_type).texts("tools")
    }
    event_types = {name: events.one_of(name, ACTION_TYPES, "") for name in events}
    names = [_event_name(item, path) for item in values.get("event_names") or []]
    return {"tools": tools, "event_types": event_types, "event_names": names}


def _event_name(item: Any, path: Path | None) -> list[Any]:
    reader = _Reader(item, path, "event_names.")
    words = [word.lower() for word in reader.texts("words")]
    tool = item.get("tool")
    if not words or not isinstance(tool, str):
        raise SettingsInvalid("event_names: an entry lacks words or tool", path=path)
    return [words, tool]


def _settings(plain: dict[str, Any]) -> Settings:
    taxonomy, redaction = plain["taxonomy"], plain["redaction"]
    return Settings(
        taxonomy=Taxonomy(
            taxonomy["tools"],
            taxonomy["event_types"],
            tuple((tuple(words), tool) for words, tool in taxonomy["event_names"]),
        ),
        redaction=RedactionSettings(
            is_enabled=redaction["is_enabled"],
            patterns=tuple((name, text) for name, text in redaction["patterns"]),
            excluded_rules=tuple(redaction["excluded_rules"]),
            excluded_patterns=tuple(redaction["excluded_patterns"]),
            secret_keys=tuple(redaction["secret_keys"]),
        ),
        durability=plain["durability"],
        detail_level=plain["detail_level"],
        follows_claude_code=plain["follows_claude_code"],
    )
