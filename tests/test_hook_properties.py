"""However the events of a session come, each call is told once, with its result."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hook_cases import SESSION, Feed, failed, payload, post, pre
from hypothesis import given, settings
from hypothesis import strategies as st
from imported_sessions import Action, calls_of, logs_of, new_store

NAMED = ("a", "b", "c", "d")
ENDS = st.sampled_from(["success", "failure", None])


@st.composite
def sessions(draw: st.DrawFn) -> tuple[dict[str, str | None], Sequence[dict[str, Any]]]:
    """What each call came to, and the events in any order, some of them twice."""
    ends = {name: draw(ENDS) for name in NAMED[: draw(st.integers(1, len(NAMED)))]}
    events = [payload("SessionStart", source="startup"), payload("Stop"), payload("Stop")]
    for name, end in ends.items():
        events.append(pre(name))
        if end is not None:
            events.append(post(name) if end == "success" else failed(name))
    again = draw(st.lists(st.sampled_from(events), max_size=4))
    return ends, draw(st.permutations([*events, *again]))


def lines_of(events: Sequence[dict[str, Any]]) -> list[Action]:
    with tempfile.TemporaryDirectory() as directory:
        store = new_store(Path(directory))
        feed = Feed(store)
        feed(*events, payload("SessionEnd"))
        return logs_of(store)[SESSION]


@given(sessions())
@settings(max_examples=40)
def test_any_order_of_the_events_gives_each_call_once_with_its_result(
    drawn: tuple[dict[str, str | None], Sequence[dict[str, Any]]],
) -> None:
    ends, events = drawn
    actions = lines_of(events)
    finals = {one["details"]["call_id"]: one for one in calls_of(actions)}
    assert {key: one["status"] for key, one in finals.items()} == {
        name: end or "skipped" for name, end in ends.items()
    }
    settled = [one for one in calls_of(actions) if not one["details"].get("pending")]
    assert len(settled) == sum(end is not None for end in ends.values())
    starts = [one for one in actions if one["event_type"] == "tool_start"]
    assert sorted(one["details"]["call_id"] for one in starts) == sorted(ends)
    for one in settled:
        expected = {"stdout": f"of {one['details']['call_id']}"}
        is_success = one["status"] == "success"
        assert one["details"]["output_data"] == (expected if is_success else "Exit code 2\nno")
    ids = [one["database_event_id"] for one in actions]
    assert len(set(ids)) == len(ids)


@given(
    st.lists(st.booleans(), min_size=1, max_size=6).flatmap(
        lambda ended: st.permutations(["pre"] * len(ended) + ["post"] * sum(ended))
    )
)
@settings(max_examples=40)
def test_equal_calls_without_an_id_are_as_many_as_their_starts(order: Sequence[str]) -> None:
    same: dict[str, Any] = {"tool_input": {"x": 1}}
    events = [pre(None, **same) if one == "pre" else post(None, **same) for one in order]
    actions = lines_of(events)
    finals = {one["details"]["call_id"]: one["status"] for one in calls_of(actions)}
    result_count = order.count("post")
    expected = ["skipped"] * (order.count("pre") - result_count) + ["success"] * result_count
    assert sorted(finals.values()) == expected
