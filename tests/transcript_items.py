"""From a script of records to items and action lines, for the tests of either."""

from typing import Any

from transcript_records import SESSION, Script

from provenance_log.claude_code.actions import ActionWriter
from provenance_log.claude_code.calls import Call
from provenance_log.claude_code.conversation import Conversation
from provenance_log.claude_code.items import Item, Message, Note, Prompt
from provenance_log.format import encode
from provenance_log.settings import default_settings
from provenance_log.store_redaction import redactor_of

TAXONOMY = default_settings().taxonomy


def turns_of(script: Script, conversation: Conversation | None = None) -> list[list[Item]]:
    conversation = conversation or Conversation()
    turns = []
    for number, record in enumerate(script.records, start=1):
        turns.append(conversation.add(number, record))
    turns.append(conversation.end())
    return [turn for turn in turns if turn]


def items_of(script: Script) -> list[Item]:
    return [item for turn in turns_of(script) for item in turn]


def named(items: list[Item]) -> list[str]:
    """What each item is, in a word or two."""
    names = []
    for item in items:
        if isinstance(item, Call):
            names.append(f"{item.tool_use_id}{'' if item.result else ' pending'}")
        elif isinstance(item, Message):
            names.append(f"message {item.message_id}")
        else:
            names.append(item.kind)
    return names


def only_call(script: Script) -> Call:
    (call,) = [item for item in items_of(script) if isinstance(item, Call)]
    return call


def action_of(item: Item) -> dict[str, Any]:
    writer = ActionWriter(SESSION, SESSION, TAXONOMY, redactor_of(None).redact)
    make = {Call: writer.call, Message: writer.message, Prompt: writer.prompt, Note: writer.note}
    arguments = (item, "an-id", None) if isinstance(item, Call) else (item, "an-id")
    action: dict[str, Any] = make[type(item)](*arguments)  # type: ignore[operator]
    encode(action, action_id=1, prev="0" * 64)
    return action
