"""Put text of a log into Markdown so that it stays text.

A log holds whatever an agent read or wrote, and an agent may read a summary back. So a piece of
log text is only ever shown as code: a code span or a fenced block, which no reader of Markdown
searches for links, images, HTML, emphasis, mentions or addresses (invariant S2). All that is
left to do is to keep the text from ending its own code: fences longer than any run of backticks
inside, one line in a span, no pipe in a table. Control and hidden characters are shown as
escapes, as in the terminal.
"""

from __future__ import annotations

import re

from provenance_log.terminal import escape

_BACKTICKS = re.compile("`+")
FENCE_LENGTH_MIN = 3


def shortened(text: str, length_max: int) -> str:
    """Return the text, or its beginning with a `…` as its last of `length_max` characters."""
    return text if len(text) <= length_max else f"{text[: length_max - 1]}…"


def code_span(text: str, length_max: int = 200) -> str:
    r"""Show log text within a line, as code. A newline is shown as `\n`; no text as (empty)."""
    shown = shortened(text, length_max)
    if not (shown.isascii() and shown.isprintable()):
        shown = escape(shown)
    if not shown:
        return "(empty)"
    if "`" not in shown:
        return f"`{shown}`"
    fence = "`" * (_longest_run(shown) + 1)
    # A backtick at either end would join the fence; readers take one space each off again.
    return f"{fence} {shown} {fence}"


def cell(text: str, length_max: int = 120) -> str:
    r"""Show log text in a cell of a table. A pipe is shown as `\x7c`.

    `\|` would be the Markdown for it, but readers differ on what a backslash before it does, and
    a cell that ends early lets the rest of the text out of its code.
    """
    return code_span(shortened(text, length_max).replace("|", r"\x7c"), length_max * 4)


def code_block(text: str, length_max: int = 4000) -> str:
    """Show log text as a block of its own, its lines kept; what is cut off is counted below."""
    shown = escape(text[:length_max].replace("\r\n", "\n"), keep="\n\t")
    fence = "`" * max(FENCE_LENGTH_MIN, _longest_run(shown) + 1)
    block = f"{fence}text\n{shown}\n{fence}"
    omitted = len(text) - length_max
    return block if omitted <= 0 else f"{block}\n\n({omitted:,} more characters in the log)"


def _longest_run(text: str) -> int:
    return max(map(len, _BACKTICKS.findall(text)), default=0)
