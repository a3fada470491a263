"""Which rules could apply to a text at all, from the plain words in it.

Almost every line holds no secret, and this is what such a line costs: a few dozen searches for
words, most of them only among the long runs of characters that a token has.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from functools import lru_cache
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Any, AnyStr, NamedTuple

from provenance_log.redaction_judging import NAME_LENGTH_MAX
from provenance_log.redaction_rules import RUN_CHARACTERS, RUN_LENGTH_MIN, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from provenance_log.redaction_words import WordFilter

_LOOKS_WITHOUT_FILTER = 20
BASE64_RUN_LENGTH_MIN = 32
_SAMPLE_LENGTH = 24
_SEARCHED_LENGTH_MAX = 4096

_RUN = b"a" * RUN_LENGTH_MIN
_RUN_TABLE = bytes(97 if chr(byte) in f"{RUN_CHARACTERS}\\" else 32 for byte in range(256))
"""A backslash is no end of a run: behind it is an `n` where a line was broken."""
_HEX = b"0123456789abcdef"
_DIGITS = b"0123456789"
_UPPER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WORDS = b"abcdefghijklmnopqrstuvwxyz_-.~\\"
_UPPER_SHARE_MIN = 0.2
"""Random letters are capitals half of the time, those of names and words less than this."""
_CLAUDE_IDS = (b"toolu_", b"msg_", b"req_", b"claude-")
_ID_LENGTH_MAX = 36
_NAME_TEXT = f"{ascii_letters}{digits}_-"
_NAME_BYTES = _NAME_TEXT.encode()
_PLAIN = bytes([9, 10, 13, *range(32, 127)])
_COLOUR = b"\\u001b["
"""How JSON writes the beginning of a terminal's control sequence."""
_PERCENT = re.compile(rb"%[2-7][0-9A-Fa-f]")
_Gates = dict[bytes, dict[str, bytes]]


class Candidates(NamedTuple):
    """What may be in a text; no rule applies whose keyword is not here."""

    tokens: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    stems: tuple[str, ...] = ()
    has_base64: bool = False
    is_encoded: bool = False
    """There are escapes of characters that need none, or colours, which may hide any of these."""


NOTHING = Candidates()


class Prefilter:
    """Knows the words of a set of rules."""

    def __init__(
        self, rules: Iterable[Rule], stems: Iterable[str], is_name: Callable[[str], bool]
    ) -> None:
        """Take the rules, what says that a name is one of a secret, and the stems of such names."""
        self._is_name = is_name
        rules = list(rules)
        tokens = [word for rule in rules if rule.is_token for word in rule.keywords]
        contexts = [
            (rule.gate, word) for rule in rules if not rule.is_token for word in rule.keywords
        ]
        self._tokens = _by_gate((word[:3], word) for word in tokens)
        self._contexts = _by_gate((gate or word, word) for gate, word in contexts)
        self._stems = dict.fromkeys(stem.encode() for stem in stems)
        self._words = [*dict.fromkeys([*self._stems, *self._contexts])]
        self._filter: WordFilter | None = None
        self._looks_left = _LOOKS_WITHOUT_FILTER

    def finds_nothing(self, data: bytes) -> bool:
        """Return True only where `of_json` finds nothing; the answer for almost every line."""
        words = self._filter or self._filter_if_worth_it()
        if words is None:
            return self.of_json(data) == NOTHING
        return (
            words.rules_out(data)
            and data.find(b"%") < 0
            and (data.find(b"\\") < 0 or not _has_escapes(data))
            and not _runs(data)
        )

    def _filter_if_worth_it(self) -> WordFilter | None:
        """Make the filter for who looks often: it costs as much as a hundred looks without it."""
        self._looks_left -= 1
        if self._looks_left >= 0:
            return None
        from provenance_log.redaction_words import WordFilter  # noqa: PLC0415

        self._filter = WordFilter(self._words)
        return self._filter

    def of_json(self, data: bytes) -> Candidates:
        """Return what the texts in an encoded value may hold, those that are split among them."""
        lowered = data.lower()
        words = [word for word in self._words if word in lowered]
        runs = _runs(data)
        is_encoded = _has_escapes(data) or (b"%" in data and _PERCENT.search(data) is not None)
        if not (words or runs or is_encoded):
            return NOTHING
        joined = b" ".join(runs).replace(b"\\n", b"").replace(b"\\", b"")
        return Candidates(
            _present(self._tokens, self._token_gates(joined), joined) if runs else (),
            _present(self._contexts, words, lowered),
            self._stems_of_names(words, lowered, data),
            any(map(_begins_base64, runs)),
            is_encoded,
        )

    def _stems_of_names(self, words: list[bytes], lowered: bytes, data: bytes) -> tuple[str, ...]:
        stems = [word for word in words if word in self._stems and not _are_counts(word, lowered)]
        names = names_with(stems, lowered, data) if stems else ()
        if any(self._is_name(name.decode("ascii", "replace")) for name in names):
            return tuple([stem.decode() for stem in stems])
        return ()

    def _token_gates(self, joined: bytes) -> list[bytes]:
        # To compile the expression takes a process of one line longer than all its searches.
        is_long = len(joined) > _SEARCHED_LENGTH_MAX
        if is_long and _any_of(tuple(self._tokens)).search(joined) is None:
            return []
        return [gate for gate in self._tokens if gate in joined]


def narrowed(candidates: Candidates, text: str, lowered: str) -> Candidates:
    """Return which of the candidates of a value may be in one text of it."""
    tokens = candidates.tokens
    if tokens:
        together = text.replace("\\", "").replace("\r", "").replace("\n", "")
        cut = together.replace("n", "") if "\\n" in text else together
        tokens = tuple([w for w in tokens if w in together or w.replace("n", "") in cut])
    return Candidates(
        tokens,
        tuple([word for word in candidates.contexts if word in lowered]),
        tuple([stem for stem in candidates.stems if stem in lowered]),
        candidates.has_base64 and len(text) >= BASE64_RUN_LENGTH_MIN,
    )


def names_with(stems: Iterable[AnyStr], lowered: AnyStr, text: AnyStr) -> Iterator[AnyStr]:
    """Yield the names in a text that have one of the stems in them."""
    return (name_at(text, start) for start in name_starts(stems, lowered))


def name_at(text: AnyStr, start: int) -> AnyStr:
    """Return the name that begins somewhere, or the beginning of one that is too long."""
    rest = text[start : start + NAME_LENGTH_MAX + 1]
    characters = _name_characters(rest)
    return rest[: len(rest) - len(rest.lstrip(characters))]


def name_starts(stems: Iterable[AnyStr], lowered: AnyStr) -> list[int]:
    """Return where names begin that have one of the stems in them, in order."""
    starts: set[int] = set()
    characters = _name_characters(lowered)
    backslash = _backslash(lowered)
    for stem in stems:
        position = lowered.find(stem)
        while position >= 0:
            before = lowered[max(0, position - NAME_LENGTH_MAX) : position]
            start = position - len(before) + len(before.rstrip(characters))
            if start < position and lowered[start - 1 : start] == backslash:
                start += _escape_length(lowered[start:position])
            starts.add(start)
            position = lowered.find(stem, position + len(stem))
    return sorted(starts)


def _escape_length(after: AnyStr) -> int:
    """Return how much behind a backslash is of an escape, and not of the name behind it."""
    code = after[1:5]
    is_code = len(code) == 4 and not code.strip(_hex_digits(code))
    return 5 if is_code and after[:1] in ("u", b"u") else 1


def _hex_digits(like: object) -> Any:
    return _HEX.decode() if isinstance(like, str) else _HEX


def _name_characters(like: object) -> Any:
    return _NAME_TEXT if isinstance(like, str) else _NAME_BYTES


def _backslash(like: object) -> Any:
    return "\\" if isinstance(like, str) else b"\\"


def _by_gate(words: Iterable[tuple[str, str]]) -> _Gates:
    """Return the words below a part of theirs, or another word, which must be there as well."""
    gates: _Gates = {}
    for gate, word in words:
        gates.setdefault(gate.encode(), {})[word] = word.encode()
    return gates


@lru_cache(maxsize=8)
def _any_of(words: tuple[bytes, ...]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(map(re.escape, words)))


def _present(gates: _Gates, open_gates: Iterable[bytes], data: bytes) -> tuple[str, ...]:
    return tuple(
        [text for gate in open_gates for text, word in gates.get(gate, {}).items() if word in data]
    )


def _has_escapes(data: bytes) -> bool:
    return b"\\\\u" in data or _COLOUR in data


def _are_counts(stem: bytes, lowered: bytes) -> bool:
    # Every message of a model has counts of its tokens, which no name of a secret ends with.
    return stem == b"token" and lowered.count(b"token") == lowered.count(b"tokens")


def _runs(data: bytes) -> list[bytes]:
    """Return the long runs of token characters, of lines and items put together."""
    if data.find(b'["') >= 0:  # half as dear as `in`
        data = data.replace(b'","', b"")
    mapped = data.translate(_RUN_TABLE)
    runs: list[bytes] = []
    start = mapped.find(_RUN)
    while start >= 0:
        end = mapped.find(b" ", start)
        end = len(data) if end < 0 else end
        run = data[start:end]
        if not _is_ordinary(run):
            runs.append(run)
        start = mapped.find(_RUN, end)
    return runs


@lru_cache(maxsize=8192)
def _is_ordinary(run: bytes) -> bool:
    """Say whether a run is a hash, a UUID, a number, a name or a path, as are in every line."""
    if not run.strip(_WORDS) or not run.strip(_HEX):
        return True
    length = len(run)
    if len(run.translate(None, _DIGITS)) == length:
        capitals = length - len(run.translate(None, _UPPER))
        return capitals < _UPPER_SHARE_MIN * length or (run.isupper() and b"_" in run)
    if length <= _ID_LENGTH_MAX:
        is_uuid = length == 36 and run[8] == run[13] == run[18] == run[23] == 45
        return is_uuid or run.startswith(_CLAUDE_IDS)
    return False


def _begins_base64(run: bytes) -> bool:
    """Say whether a run is likely to stand for a text, from a few characters in its middle."""
    if len(run) < BASE64_RUN_LENGTH_MIN or run.islower() or run.isupper():
        return False
    middle = (len(run) - _SAMPLE_LENGTH) // 2
    sample = run[middle - 4 : middle + _SAMPLE_LENGTH]
    for start in range(4):
        piece = sample[start : start + _SAMPLE_LENGTH]
        try:
            decoded = b64decode(piece, validate=True)
        except Base64Error:
            return False
        if not decoded.translate(None, _PLAIN):
            return True
    return False
