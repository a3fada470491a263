"""Find secrets in one text: which rules could apply, where they do, and what they take out.

Almost every line holds no secret, so the question "could there be one?" is asked first, of the
encoded action as a whole and by searching for plain words (`redaction_candidates`). No expression
is compiled, and no value is looked at, before one of those words was found.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import orjson

from provenance_log import redaction_views
from provenance_log.redaction_candidates import (
    NOTHING,
    Candidates,
    Prefilter,
    name_at,
    name_starts,
    names_with,
    narrowed,
)
from provenance_log.redaction_judging import (
    Weight,
    is_assigned_value,
    is_secret,
    looks_random,
    weight_of_name,
)
from provenance_log.redaction_marks import without_marked
from provenance_log.redaction_rules import (
    ASSIGNMENT_PATTERN,
    ASSIGNMENT_RULE,
    ASSIGNMENT_STEMS,
    BUILT_IN_RULES,
    Rule,
)
from provenance_log.redaction_views import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

USER_WINDOW_LENGTH = 64 * 1024
"""A project's own expressions see a text in windows of this length …"""
USER_OVERLAP_LENGTH = 4 * 1024
"""… of which each begins this much before the end of the one before."""

_COLOUR = "\x1b["
_HIDING = ("\\u", "%", _COLOUR)
"""What a text has in it whose words are not those that it stands for."""
_ASCII_LOWER = {upper: upper + 32 for upper in range(65, 91)}
VALUE_LENGTH_SKIPPED = 200
"""A longer value that is no secret is not looked into for names and values of its own."""


class Hit(NamedTuple):
    """A secret in a text."""

    start: int
    end: int
    rule: str
    rank: int
    """Of hits that overlap, the one with the lowest rank gives its rule."""
    secret: str
    """The secret as it reads without escapes, from which its digest is made."""


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


class Scanner:
    """Finds what a set of rules calls a secret; immutable, so that threads may share it."""

    def __init__(
        self,
        patterns: Iterable[tuple[str, str]] = (),
        excluded_rules: Iterable[str] = (),
        excluded_patterns: Iterable[str] = (),
        secret_names: Iterable[str] = (),
    ) -> None:
        """Take the built-in rules but for the excluded ones, and a project's own."""
        excluded = set(excluded_rules)
        self._user_rules = [(name, re.compile(text)) for name, text in patterns]
        self._excluded = [re.compile(text) for text in excluded_patterns]
        self._rules: dict[str, list[tuple[int, Rule]]] = {}
        for rank, rule in enumerate(BUILT_IN_RULES):
            if rule.name not in excluded:
                for keyword in rule.keywords:
                    self._rules.setdefault(keyword, []).append((rank, rule))
        # A name without letters and digits would be found everywhere, and every such name with it.
        own = {name: plain for name in secret_names if (plain := _plain_name(name))}
        own_stems = {form for name, plain in own.items() for form in (name.lower(), plain)}
        self._own_names = frozenset(own.values())
        rules = [rule for rule in BUILT_IN_RULES if rule.name not in excluded]
        stems = (*ASSIGNMENT_STEMS, *sorted(own_stems))
        self._prefilter = Prefilter(rules, stems, self.names_secret)
        self._knows_assignments = ASSIGNMENT_RULE not in excluded

    def has_user_rules(self) -> bool:
        """Say whether every text must be looked at, whatever its words are."""
        return bool(self._user_rules)

    def weight_of(self, name: str) -> Weight:
        """Say how much a name speaks for its value being a secret."""
        if self._own_names and _plain_name(name) in self._own_names:
            return "strong"
        return weight_of_name(name)

    def names_secret(self, name: str) -> bool:
        """Say whether a value of this name may be a secret."""
        return bool(self.weight_of(name))

    def candidates(self, data: bytes) -> Candidates:
        """Return what the texts of an encoded value may hold; nothing else is in them."""
        return self._prefilter.of_json(data)

    def finds_nothing(self, data: bytes) -> bool:
        """Return True only where no text of an encoded value has to be looked at."""
        return not self._user_rules and self._prefilter.finds_nothing(data)

    def hits(self, text: str, candidates: Candidates) -> list[Hit]:
        """Return the secrets in a text, in their order and without overlaps.

        The candidates are those of the value that the text is in.
        """
        found: list[Hit] = []
        original = View(text)
        here = self._of_view(original, candidates)
        if here != NOTHING:
            self._look_into_views(original, here, candidates, found)
        if self._user_rules:
            last = [original, *redaction_views.unescaped_views(original)][-1]
            for name, pattern in self._user_rules:
                found += self._user_hits(name, pattern, last)
        return without_marked(_merged(found), text) if found else found

    def _look_into_views(
        self, original: View, here: Candidates, candidates: Candidates, found: list[Hit]
    ) -> None:
        """Look at a text as it is, and as it reads without its escapes and line breaks."""
        self._look(original, here, found)
        last = original
        for last in redaction_views.unescaped_views(original):
            self._look(last, self._of_view(last, candidates), found)
        for view in {id(original): original, id(last): last}.values():
            decoded = redaction_views.percent_decoded(view) if "%" in view.text else None
            shown = redaction_views.uncoloured(view) if _COLOUR in view.text else None
            for other in filter(None, (decoded, shown)):
                self._look(other, self._of_view(other, candidates), found)
            if "\n" in view.text:
                self._look_over_lines(view, here, found)
        if here.has_base64:
            self._look_into_base64(original.text, found)

    def _of_view(self, view: View, candidates: Candidates) -> Candidates:
        if candidates.is_encoded and (view.is_made or any(map(view.text.__contains__, _HIDING))):
            return self.candidates(orjson.dumps(_whole(view.text)))
        text, lowered = view.text, ""
        if candidates.contexts or candidates.stems:
            lowered = _lowered(text)
        here = narrowed(candidates, text, lowered)
        if here.stems and not any(map(self.names_secret, names_with(here.stems, lowered, text))):
            here = here._replace(stems=())
        return here

    def _look(self, view: View, candidates: Candidates, found: list[Hit]) -> None:
        text = view.text
        for keyword in candidates.tokens:
            self._look_for(keyword, view, text, found)
        if candidates.contexts or candidates.stems:
            lowered = _lowered(text)
            for keyword in candidates.contexts:
                self._look_for(keyword, view, lowered, found)
            if candidates.stems and self._knows_assignments:
                self._look_for_assignments(view, lowered, candidates.stems, found)

    def _look_for(self, keyword: str, view: View, haystack: str, found: list[Hit]) -> None:
        text = view.text
        position = haystack.find(keyword)
        while position >= 0:
            after = position + len(keyword)
            for rank, rule in self._rules[keyword]:
                hit = self._match(rule, rank, view, position)
                if hit is not None:
                    found.append(hit[0])
                    after = max(after, hit[1])
                    break
            position = haystack.find(keyword, after, len(text))

    def _match(self, rule: Rule, rank: int, view: View, position: int) -> tuple[Hit, int] | None:
        match = _compiled(rule.pattern).match(view.text, max(0, position - rule.back))
        if match is None:
            return None
        groups = match.groupdict()
        name = next((key for key in groups if groups[key] is not None), 0)
        secret = match[name]
        if not is_secret(rule.check, secret) or self.is_excluded(secret):
            return None
        return _hit(view, *match.span(name), rule.name, rank, secret), match.end()

    def is_excluded(self, secret: str) -> bool:
        """Say whether a project has said that this is none."""
        return any(pattern.fullmatch(secret) for pattern in self._excluded)

    def _look_for_assignments(
        self, view: View, lowered: str, stems: tuple[str, ...], found: list[Hit]
    ) -> None:
        text = view.text
        done = -1
        for start in name_starts(stems, lowered):
            weight = self.weight_of(name_at(text, start)) if start > done else ""
            match = _compiled(ASSIGNMENT_PATTERN).match(text, start) if weight else None
            if match is None:
                continue
            hit = self._assigned(view, match, weight)
            if hit is not None:
                found.append(hit)
            if hit is not None or match.end() - start > VALUE_LENGTH_SKIPPED:
                done = match.end() - 1  # or a long value full of names would be read for each

    def _assigned(self, view: View, match: re.Match[str], weight: Weight) -> Hit | None:
        name, text = match["name"], view.text
        group = next(
            key for key in ("secret", "bare", "argument", "element") if match[key] is not None
        )
        value, (start, end) = match[group], match.span(group)
        if group == "argument" and not name.startswith("--"):
            return None
        if group == "bare":
            if text[end : end + 1] in ("(", "[", "{", "<"):
                return None  # a call or a type
            value = value.rstrip(".:?\\")
            end = start + len(value)
        is_quoted = group in ("secret", "element")
        if not is_assigned_value(value, weight, is_quoted=is_quoted) or self.is_excluded(value):
            return None
        return _hit(view, start, end, ASSIGNMENT_RULE, len(BUILT_IN_RULES), value)

    def _look_over_lines(self, view: View, candidates: Candidates, found: list[Hit]) -> None:
        """Look for tokens that a line break cut in two."""
        together = redaction_views.joined(view) if candidates.tokens else None
        if together is None:
            return
        whole: list[Hit] = []
        self._look(together, Candidates(tokens=candidates.tokens), whole)
        found += [hit for hit in whole if _goes_on(hit, found)]

    def across(self, texts: list[str], candidates: Candidates) -> list[Hit]:
        """Return the tokens and keys that begin in one of some texts and end in another."""
        if not candidates.tokens and "-----begin " not in candidates.contexts:
            return []
        ends, length = [], 0
        for text in texts:
            length += len(text)
            ends.append(length)
        found: list[Hit] = []
        only = tuple(word for word in candidates.contexts if word == "-----begin ")
        self._look(View("".join(texts)), Candidates(candidates.tokens, only), found)
        return [hit for hit in _merged(found) if any(hit.start < end < hit.end for end in ends)]

    def _look_into_base64(self, text: str, found: list[Hit]) -> None:
        for start, end, decoded in redaction_views.base64_texts(text):
            candidates = self.candidates(orjson.dumps(decoded))
            inside: list[Hit] = []
            self._look(View(decoded), candidates, inside)
            if inside:
                first = min(inside, key=lambda hit: hit.rank)
                found.append(Hit(start, end, first.rule, first.rank, first.secret))

    def _user_hits(self, name: str, pattern: re.Pattern[str], view: View) -> Iterator[Hit]:
        step = USER_WINDOW_LENGTH - USER_OVERLAP_LENGTH
        for start in range(0, max(1, len(view.text) - USER_OVERLAP_LENGTH), step):
            for match in pattern.finditer(view.text, start, start + USER_WINDOW_LENGTH):
                group = "secret" if match.groupdict().get("secret") is not None else 0
                if match[group] and not self.is_excluded(match[group]):
                    yield _hit(view, *match.span(group), name, -1, match[group])


def _hit(view: View, start: int, end: int, rule: str, rank: int, secret: str) -> Hit:
    first, last = view.span_in_original(start, end)
    return Hit(first, last, rule, rank, secret)


def _merged(found: list[Hit]) -> list[Hit]:
    """Return the hits in their order, those that overlap as one."""
    merged: list[Hit] = []
    for hit in sorted(found):
        if merged and hit.start < merged[-1].end:
            last = merged[-1]
            best = min(last, hit, key=lambda one: (one.rank, one.start - one.end))
            end = max(last.end, hit.end)
            merged[-1] = Hit(last.start, end, best.rule, best.rank, best.secret)
        else:
            merged.append(hit)
    return merged


def _goes_on(hit: Hit, found: list[Hit]) -> bool:
    """Say whether a token of the joined lines is more than one that was found within a line."""
    for other in found:
        if other.start <= hit.start < other.end:
            if other.end >= hit.end:
                return False
            rest = hit.secret[len(other.secret) :]
            return len(rest) >= 8 and looks_random(rest)
    return True


def _whole(text: str) -> str:
    """Return a text in which half a surrogate pair, which an escape may stand for, is `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _lowered(text: str) -> str:
    lowered = text.lower()
    # Few characters get longer in lower case, but then positions would no longer be the same.
    return lowered if len(lowered) == len(text) else text.translate(_ASCII_LOWER)


def _plain_name(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()
