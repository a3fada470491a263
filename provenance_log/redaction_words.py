"""Whether any of a few words is in some bytes, asked of all the words at once.

Almost no line has any, and a dozen searches one after the other are what such a line costs. Here
each word is known by three letters that follow one another. A table says for each byte which of
them it may be, as bits; one integer holds the bits of all bytes, and three such integers, shifted
by a byte each, have a bit in common only where three letters may stand together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_bits = int.from_bytes
_LETTERS = 3
_GROUPS = 8
"""A byte has as many bits; words of one group are told apart less well."""
_COMMON = b'e taionsrlhdcu"m,pf_g:wy.b/v-k'
"""From the most frequent in lines of actions on; what is not here is rare."""


class WordFilter:
    """Says of some words that none of them is there; immutable, so that threads may share it."""

    def __init__(self, words: Iterable[bytes]) -> None:
        """Take the words, in lower case; with one of less than three bytes nothing is ruled out."""
        words = list(words)
        self._rules_nothing_out = any(len(word) < _LETTERS for word in words)
        parts = sorted({_rarest_part(word) for word in words if len(word) >= _LETTERS})
        groups = _grouped(parts)
        self._first, self._second, self._third = (_table(groups, at) for at in range(_LETTERS))

    def rules_out(self, data: bytes) -> bool:
        """Return True only where no word is in the data, whatever the case of its letters.

        False says nothing: letters of several words may stand together by chance.
        """
        return not (
            self._rules_nothing_out
            or _bits(data.translate(self._first), "little")
            & _bits(data.translate(self._second), "little") >> 8
            & _bits(data.translate(self._third), "little") >> 16
        )


def _rarest_part(word: bytes) -> bytes:
    parts = [word[start : start + _LETTERS] for start in range(len(word) - _LETTERS + 1)]
    return min(parts, key=lambda part: _frequency([part]))


def _grouped(parts: Iterable[bytes]) -> list[list[bytes]]:
    """Put parts together so that few other letters pass for them."""
    groups: list[list[bytes]] = [[] for _ in range(_GROUPS)]
    for part in sorted(parts, key=lambda part: -_frequency([part])):
        best = min(groups, key=lambda group: _frequency([*group, part]) - _frequency(group))
        best.append(part)
    return groups


def _frequency(group: list[bytes]) -> int:
    """Return how often one of the letters of each place follow one another, as a rough measure."""
    product = 1
    for letters in zip(*group, strict=True):
        product *= sum(len(_COMMON) - _rank(letter) + 1 for letter in set(letters))
    return product if group else 0


def _rank(letter: int) -> int:
    place = _COMMON.find(letter)
    return len(_COMMON) if place < 0 else place


def _table(groups: list[list[bytes]], at: int) -> bytes:
    bits = [0] * 256
    for number, group in enumerate(groups):
        for part in group:
            for letter in {part[at : at + 1].lower(), part[at : at + 1].upper()}:
                bits[letter[0]] |= 1 << number
    return bytes(bits)
