"""Secrets that something stands in front of: an escape, a control character, a colour."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from secret_samples import TOKEN_SAMPLES

from provenance_log.redact import RedactionSettings, Redactor, findings

TOKEN = TOKEN_SAMPLES[6].secret
OTHER = TOKEN_SAMPLES[7].secret


PIECES = st.sampled_from(
    [
        *(
            "\x1b[31m",
            "\x1b[0m",
            "\x1b",
            "[",
            "\\u001b[1m",
            "%1B[0m",
            "%3D",
            "\\n",
            "\\",
            "\n",
            '"',
        ),
        *("password", "secret", "api_key", "--token", "Bearer ", "m", "=", ":", ";", " "),
        *("hunter2hunter2", "s3cr3t-s3cr3tX9", "[redacted:x:00000000]"),
        *(sample.secret for sample in TOKEN_SAMPLES[:8]),
    ]
)


def read(details: Any) -> dict[str, Any]:
    return {"type": "read", "tool": "Read", "status": "success", "details": details}


def redactor() -> Redactor:
    return Redactor(RedactionSettings(), lambda: b"k" * 32)


@pytest.mark.parametrize("before", ["\x1b", "\x00", "A=1\x00", "\x7f", "\u2028", "\\u001b", "\\n"])
def test_secret_whose_name_follows_a_character_that_is_escaped_is_found(before: str) -> None:
    action = redactor().redact(read({"v": f"{before}passwd: r3t-s3xx9"}))

    assert action["details"]["v"].startswith(f"{before}passwd: [redacted:secret-assignment:")


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mpasswd={}",
        "\x1b[1;38;5;9mpasswd\x1b[0m: \x1b[32m{}\x1b[0m",
        '\x1b[34;1m"passwd"\x1b[39;49m: \x1b[0;32m"{}"\x1b[0m',
        '{{"out": "\\u001b[33mpasswd={}"}}',
        "remote: \x1b[K\x1b[?25lpasswd={}",
    ],
)
def test_secret_that_a_terminal_shows_in_colour_is_found(text: str) -> None:
    """A11: what a terminal is told in front of a name is no part of it."""
    action = redactor().redact(read({"v": text.format("r3t-s3xx9")}))

    assert "r3t-s3xx9" not in str(action)
    assert "[redacted:secret-assignment:" in action["details"]["v"]
    assert redactor().redact(action) == action


def test_token_right_behind_a_colour_is_found() -> None:
    action = redactor().redact(read({"v": f"\x1b[32m{TOKEN}\x1b[0m", "w": [f"\x1b[0m{OTHER}"]}))

    assert not [one for one in (TOKEN, OTHER) if one in str(action)]


@example(f"AKIA33LLKEVZ5N4TFH4X{OTHER};[redacted:x:00000000]AKIA33LLKEVZ5N4TFH4X")
@given(st.lists(PIECES, min_size=2, max_size=14).map("".join))
def test_redaction_is_done_once_and_for_all(text: str) -> None:
    """A11: what is a secret only without its neighbour is taken out with it, not later."""
    for value in (text, json.dumps({"a": text})):
        once = redactor().redact(read({"v": value}))
        assert redactor().redact(once) is once


@pytest.mark.parametrize("before", ["“", "→ ", "é", "\u2028", "🏷", '{"note":"“'])
def test_name_right_behind_an_escaped_character_of_json_is_seen(before: str) -> None:
    """A11: `json.dumps` escapes what is not ASCII, and an escape is no part of a name."""
    text = json.dumps(f"{before}password=abcdefghijABCDEFGHIJ012345")

    (found,) = findings(text)
    assert text[found.start : found.end] == "abcdefghijABCDEFGHIJ012345"


@pytest.mark.parametrize(
    "shape",
    [
        lambda name, value: [{"name": name, "value": value}],
        lambda name, value: {name: value},
        lambda name, value: [f"--{name}", value],
    ],
)
def test_value_whose_name_is_one_only_without_its_own_secret_is_taken_out_at_once(
    shape: Callable[[str, str], Any],
) -> None:
    """A11: a name too long for one becomes one when its secret is taken out of it."""
    value = shape(f"password=hunter2h{'@' * 100}unter2", "hunter2hunter2")

    once = redactor().redact(read({"v": value}))
    assert "hunter2hunter2" not in orjson.dumps(once).decode()
    again = redactor().redact(orjson.loads(orjson.dumps(once)))
    assert again["details"]["v"] == once["details"]["v"]
