"""Where secrets leave an action, before it is encoded: the one place on the way to the bytes.

The appender calls `Redactor.redact` on the parsed value, ahead of blobs and encoding, so the raw
secret is in no file, no message and no traceback (invariant A11). What is a secret is said in
`redaction_rules`; `redaction_scanning` finds it in a text; here the action is walked, with the
names of its members, and each secret is replaced by a mark (`redaction_marks`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from provenance_log.redaction_candidates import NOTHING, Candidates
from provenance_log.redaction_judging import Weight, is_field_value
from provenance_log.redaction_marks import REDACTED_ENTRIES_MAX, REDACTED_KEY, digest_of, mark
from provenance_log.redaction_rules import FIELD_RULE, RULE_NAMES
from provenance_log.redaction_scanning import Hit, Scanner

if TYPE_CHECKING:
    from collections.abc import Callable

SPLIT_LENGTH_MAX = 1024 * 1024
"""Texts of an array are looked at together up to this length."""

WALKS_MAX = 4
"""How often an action is looked at: what stood right beside a secret may be one without it."""

NUMBER_MAX = 9_999
"""A number up to this is no password, whatever its name says."""


@dataclass(frozen=True, slots=True)
class RedactionSettings:
    """Which secrets are taken out before anything is written; see `Redactor`."""

    is_enabled: bool = True
    patterns: tuple[tuple[str, str], ...] = ()
    """A project's own rules: name and regular expression."""
    excluded_rules: tuple[str, ...] = ()
    """Names of rules that are off."""
    excluded_patterns: tuple[str, ...] = ()
    """Regular expressions; what one of them matches as a whole is no secret."""
    secret_keys: tuple[str, ...] = ()
    """Names of members whose values are secrets, beside those that are known."""


class Finding(NamedTuple):
    """A secret in a text: the rule that knows it, and where it is."""

    rule: str
    start: int
    end: int


def findings(text: str, settings: RedactionSettings | None = None) -> list[Finding]:
    """Return what would be taken out of a text that is a value of its own."""
    scanner = _scanner(settings or RedactionSettings())
    hits = scanner.hits(text, scanner.candidates(orjson.dumps(text)))
    return [Finding(hit.rule, hit.start, hit.end) for hit in hits]


class Redactor:
    """Takes secrets out of actions; immutable, so that threads may share it.

    Guarantees: an action without a secret is returned as it is, the same object; the time is
    linear in the size of the action for the built-in rules, whatever it holds; the same secret
    gives the same mark with the same key. Not guaranteed: that every secret is known as one, and
    a bound in time for expressions of a project's own.
    """

    def __init__(self, settings: RedactionSettings, key: Callable[[], bytes]) -> None:
        """Take the rules, and where the key comes from: it is asked for at the first secret."""
        self._is_enabled = settings.is_enabled
        self._knows_fields = FIELD_RULE not in settings.excluded_rules
        self._scanner = _scanner(settings)
        self._key = key

    def finds_nothing(self, data: bytes) -> bool:
        """Return True only where `redact` returns the value that was encoded as it is."""
        return not self._is_enabled or self._scanner.finds_nothing(data)

    def redact(self, action: dict[str, Any]) -> dict[str, Any]:
        """Return the action with a mark in the place of each secret, listed in its details.

        The action must be one that JSON can hold, as `values.representable` makes it.
        """
        if not self._is_enabled:
            return action
        redacted, notes = action, _Notes(self._key)
        for _ in range(WALKS_MAX):
            walked = self._walked(redacted, notes)
            if walked is redacted:
                break
            redacted = walked
        if redacted is action:
            return action
        details = redacted.get("details")
        # Details that are no object are refused by the encoder.
        if details is None or isinstance(details, dict):
            redacted["details"] = _listing(details or {}, notes)
        return redacted

    def _walked(self, action: dict[str, Any], notes: _Notes) -> dict[str, Any]:
        data = orjson.dumps(action)
        candidates = self._scanner.candidates(data)
        if candidates == NOTHING and not self._scanner.has_user_rules():
            return action
        before = notes.mark_count
        walk = _Walk(self._scanner, candidates, notes, knows_fields=self._knows_fields)
        walked: dict[str, Any] = walk.value(orjson.loads(data), "$", "")
        return action if notes.mark_count == before else walked


def _scanner(settings: RedactionSettings) -> Scanner:
    return Scanner(
        settings.patterns,
        settings.excluded_rules,
        settings.excluded_patterns,
        settings.secret_keys,
    )


def _listing(details: dict[str, Any], notes: _Notes) -> dict[str, Any]:
    earlier = details.get(REDACTED_KEY)
    entries: list[Any] = [*(earlier if isinstance(earlier, list) else ()), *notes.entries]
    more = notes.count - len(notes.entries)
    if more:
        entries.append(f"and {more} more")
    return {**details, REDACTED_KEY: entries}


_SCHEME = re.compile(r"(?i)(?:bearer|basic|token|bot|apikey|negotiate|digest)[ \t]+")
_NAMED_VALUES = (("name", "value"), ("key", "value"), ("Name", "Value"), ("Key", "Value"))


class _Notes:
    """What was taken out of an action."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key
        self.entries: list[dict[str, str]] = []
        self.count = 0
        """Of what is to be listed; a secret that soon comes again at the same place is not."""
        self.mark_count = 0

    def note(self, rule: str, secret: str, path: str) -> str:
        """Note a secret and return its digest."""
        self.mark_count += 1
        digest = digest_of(self._key(), secret)
        entry = {"rule": rule, "path": path, "digest": digest}
        if entry in self.entries[-8:]:
            return digest
        self.count += 1
        if self.count <= REDACTED_ENTRIES_MAX:
            self.entries.append(entry)
        return digest


class _Walk:
    """One way through a value that is ours to change, noting what was taken out."""

    def __init__(
        self,
        scanner: Scanner,
        candidates: Candidates,
        notes: _Notes,
        *,
        knows_fields: bool,
    ) -> None:
        self._scanner = scanner
        self._candidates = candidates
        self._note = notes.note
        # Names of secrets have one of the stems in them, so without any no name is looked at.
        self._knows_fields = knows_fields

    def value(self, value: Any, path: str, weight: Weight) -> Any:
        """Return the value without secrets, given how much its name says that it is one."""
        if isinstance(value, str):
            return self._text(value, path, weight)
        if isinstance(value, dict):
            return self._object(value, path)
        if isinstance(value, list):
            return self._array(value, path, weight)
        if weight == "strong" and isinstance(value, int) and value > NUMBER_MAX:
            text = str(value)
            changed = self._text(text, path, weight)
            return value if changed == text else changed
        return value

    def _object(self, value: dict[str, Any], path: str) -> dict[str, Any]:
        if "value" in value or "Value" in value:
            self._named_value(value, path)
        renamed: dict[str, str] = {}
        for key, item in value.items():
            if key == REDACTED_KEY and path == "$.details":
                continue
            name, weight = self._name(key, path), self._weight(key)
            if name != key:
                renamed[key] = name
                weight = weight or self._weight(name)
            changed = self.value(item, f"{path}.{name}", weight)
            if changed is not item:
                value[key] = changed
        return _renamed(value, renamed) if renamed else value

    def _named_value(self, value: dict[str, Any], path: str) -> None:
        """Take the secret out of `{"name": "TOKEN", "value": …}`, as lists of variables have it."""
        for name_key, value_key in _NAMED_VALUES:
            name, item = value.get(name_key), value.get(value_key)
            if isinstance(name, str) and isinstance(item, str):
                # A name may be none any more, or one for the first time, without its own secret.
                value[name_key] = self._text(name, f"{path}.{name_key}", "")
                weight = self._weight(name) or self._weight(value[name_key])
                value[value_key] = self._text(item, f"{path}.{value_key}", weight)

    def _array(self, items: list[Any], path: str, weight: Weight) -> list[Any]:
        if len(items) > 1 and self._candidates != NOTHING:
            self._across(items, path)
        above = changed = ""
        for i, item in enumerate(items):
            of_flag = self._weight_of_argument(above) or self._weight_of_argument(changed)
            changed = self.value(item, f"{path}[{i}]", weight or of_flag)
            if changed is not item:
                items[i] = changed
            above = item
        return items

    def _weight_of_argument(self, above: object) -> Weight:
        """Return the weight of what follows `--password` in a list of arguments, or a header."""
        if not isinstance(above, str):
            return ""
        is_name = above.startswith("--") or above.lower() in {"authorization", "cookie"}
        return self._weight(above) if is_name else ""

    def _across(self, items: list[Any], path: str) -> None:
        """Take out what is split over texts that follow one another."""
        texts = [item for item in items if isinstance(item, str)]
        if len(texts) < len(items) or sum(map(len, texts)) > SPLIT_LENGTH_MAX:
            return
        for hit in reversed(self._scanner.across(texts, self._candidates)):
            digest = self._note(hit.rule, hit.secret, path)
            start = 0
            for i, text in enumerate(texts):
                first, last = max(hit.start - start, 0), min(hit.end - start, len(text))
                if first < last:
                    items[i] = items[i][:first] + mark(hit.rule, digest) + items[i][last:]
                start += len(text)

    def _name(self, key: str, path: str) -> str:
        return key if len(key) < 8 else self._text(key, f"{path}.(key)", "")

    def _weight(self, name: str) -> Weight:
        if not self._knows_fields or not self._candidates.stems:
            return ""
        return self._scanner.weight_of(name)

    def _text(self, text: str, path: str, weight: Weight) -> str:
        hits = self._scanner.hits(text, self._candidates)
        if weight and is_field_value(text, weight):
            hits = self._of_field(text, hits)
        if not hits:
            return text
        pieces: list[str] = []
        position = 0
        for hit in hits:
            digest = self._note(hit.rule, hit.secret, path)
            pieces += (text[position : hit.start], mark(hit.rule, digest))
            position = hit.end
        return "".join(pieces) + text[position:]

    def _of_field(self, text: str, hits: list[Hit]) -> list[Hit]:
        """Return the whole value as one secret, by the name of the rule that knows all of it."""
        scheme = _SCHEME.match(text)
        start = scheme.end() if scheme else 0
        if len(hits) == 1 and hits[0].start <= start and hits[0].end == len(text):
            return hits
        if self._scanner.is_excluded(text[start:]):
            return hits
        return [Hit(start, len(text), FIELD_RULE, len(RULE_NAMES), text[start:])]


def _renamed(value: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for key, item in value.items():
        name = names.get(key, key)
        while name in renamed or (name != key and name in value):
            name += "_"
        renamed[name] = item
    return renamed
