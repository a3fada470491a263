"""YAML that anybody may have written is read as plain values, or refused with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.yaml_text import to_yaml
from provenance_log.errors import ManifestInvalid
from provenance_log.yaml_reading import plain_value, read_yaml_mapping

PATH = Path("manifest.yaml")

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
UNREADABLE = {
    "not YAML": ("goals:\n  - [a\nb: c\n", ", line 3: not YAML: "),
    "tab": ("a: 1\n\tb: 2\n", ", line 2: not YAML: "),
    "tag": ("a: 1\nb: !!python/object/apply:os.system [id]\n", ", line 2: the tag "),
    "date tag": ("a: !!timestamp 2026-01-01\n", ", line 1: the tag "),
    "duplicate key": ("a: 1\nb: {x: 1, x: 2}\n", ", line 2: the key 'x' is there twice"),
    "key is a list": ("? [a]\n: 1\n", ", line 1: a key is no plain text"),
    "bomb": (BOMB, ", line 7: its aliases make it larger than a manifest may be"),
    "alias in itself": ("a: &a [*a]\n", ", line 1: the alias *a leads nowhere or into itself"),
    "deep": ("a: " + "[" * 20_000 + "]" * 20_000, ", line 1: "),
    "two documents": ("a: 1\n---\nb: 2\n", ", line 2: a second document begins"),
    "list": ("- a\n", ", line 1: it is no mapping of keys to values"),
    "empty": ("# nothing\n", ", line 2: it is empty"),
    "control": ("a: 1\nb: \x1b[31m\n", ", line 2: the character U+001B may not be in YAML"),
}


@pytest.mark.parametrize(("text", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_plain_mapping_is_refused_with_its_line(text: str, message: str) -> None:
    """S4: nothing in a file does more than become a value, and no file costs more than its size."""
    with pytest.raises(ManifestInvalid) as refused:
        read_yaml_mapping(text, PATH)

    assert str(refused.value).startswith(f"manifest.yaml{message}")


def test_an_alias_is_the_value_it_names() -> None:
    assert read_yaml_mapping("a: &x [1, no]\nb: *x\n", PATH) == {"a": [1, "no"], "b": [1, "no"]}


def test_plain_scalars_stay_the_text_that_was_written_unless_a_number_is_that_text() -> None:
    """S4: what YAML 1.1 makes of these would lose what a person wrote."""
    texts = ["no", "Yes", "12:30", "0123", "1e3", "416e11", "3.10", "1_000", ".5", "+1", "0x1F"]
    texts += ["2026-01-01", "2026-01-01T00:00:00Z", "-0", ".inf", ".nan", "<<", "9007199254740993"]
    numbers = [0, -7, 12, 9007199254740991, 1.5, -0.25]
    items = "".join(f"- {item}\n" for item in (*texts, *numbers))

    found = read_yaml_mapping(f"values:\n{items}- true\n- null\n- '7'\n", PATH)

    assert found == {"values": [*texts, *numbers, True, None, "7"]}


_texts = st.text(st.characters(codec="utf-8"), max_size=30)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(_texts, _values, max_size=5))
def test_any_document_that_is_written_as_yaml_is_read_as_the_same_values(
    document: dict[str, Any],
) -> None:
    """S4: what a manifest of ours says, whatever text an agent put into it, is what comes back."""
    assert read_yaml_mapping(to_yaml(document).decode(), PATH) == document


@given(st.text("0123456789.+-_eExX:~ nulltrefaso", max_size=12))
def test_any_plain_scalar_is_its_text_or_a_value_with_that_very_text(text: str) -> None:
    """S4."""
    value = plain_value(text)
    shown = {None: ("", "~", "null"), True: ("true",), False: ("false",)}
    if isinstance(value, bool) or value is None:
        assert text.lower() in shown[value]
    else:
        assert str(value) == text
