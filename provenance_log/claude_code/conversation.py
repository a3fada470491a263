"""One pass over the records of a session: what happened, in order, calls with their results.

A conversation consists of turns; a turn begins with a prompt of the person. What a turn brought
is handed out when the next one begins, so that a transcript that grows by whole turns gives the
same items, in the same order, as one that is read at once. Within a turn, items stand in the
order in which they first appear in the file; timestamps may go backwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provenance_log.claude_code.calls import Agent, Call, Origin
from provenance_log.claude_code.fields import (
    Block,
    blocks_of,
    content_of,
    name_of,
    object_of,
    text_of,
)
from provenance_log.claude_code.items import Beginning, Counts, Item, Message, Note, Prompt
from provenance_log.claude_code.records import (
    SYNTHETIC_MODEL,
    TASK_NOTIFICATION,
    is_set_aside,
    kind_of_prompt,
    said_in,
    typed_command,
    usage_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from provenance_log.claude_code.transcripts import Record


class Conversation:
    """Turns the records of one session into items.

    `own_agent` is the subagent whose own transcript this is. What the agents did for which
    `has_own_transcript` says yes is left to their transcripts.
    """

    def __init__(
        self,
        *,
        own_agent: Agent | None = None,
        has_own_transcript: Callable[[str], bool] = lambda _agent_id: False,
    ) -> None:
        self.beginning = Beginning()
        self.counts = Counts()
        self.has_begun = False
        """True from the first prompt or answer on; before it there is nothing to tell."""
        self._own_agent = own_agent
        self._has_own_transcript = has_own_transcript
        self._agents = {} if own_agent is None else {own_agent.agent_id: own_agent}
        self._items: list[Item] = []
        self._calls: dict[str, Call] = {}
        self._messages: dict[str, Message] = {}
        self._piece_counts: dict[str, int] = {}
        self._queued: list[str] = []
        self._seen: set[str] = set()
        self._turn = 0
        self._timestamp = ""
        self._readers: dict[str, Callable[[int, Record], None]] = {
            "assistant": self._read_assistant,
            "user": self._read_user,
            "progress": self._read_progress,
            "system": self._read_system,
            "queue-operation": self._read_queue_operation,
            "pr-link": self._read_pr_link,
            "summary": self._read_summary,
        }

    def add(self, line: int, record: Record) -> list[Item]:
        """Take the next record in; return the items of the turn that it ends, if it ends one."""
        if self._was_seen(text_of(record, "uuid")):
            return []
        kind = record["type"]
        ended: list[Item] = []
        if kind == "user" and self.has_begun and self._begins_turn(record):
            ended = self._end_turn()
        self._timestamp = text_of(record, "timestamp") or self._timestamp
        if self._turn == 0:
            self._learn(record)
        reader = self._readers.get(kind)
        if reader is not None:
            reader(line, record)
        else:
            self.counts.count(kind, is_known=is_set_aside(kind))
        return ended

    def end(self) -> list[Item]:
        """Return the items of the last turn; calls among them may still lack their result."""
        return self._end_turn() if self.has_begun else []

    def _was_seen(self, key: str) -> bool:
        if not key:
            return False
        if key in self._seen:
            self.counts.repeated += 1
            return True
        self._seen.add(key)
        return False

    def _begins_turn(self, record: Record) -> bool:
        text, has_results, image_count = said_in(content_of(record))
        has_said = bool(text or image_count) and not has_results
        return has_said and self._kind_of(record, text) == "prompt"

    def _end_turn(self) -> list[Item]:
        items = self._items
        self._items = []
        # What is left without a result stays known, so that a late result finds its call.
        self._calls = {key: call for key, call in self._calls.items() if call.result is None}
        self._messages.clear()
        self._turn += 1
        return items

    def _learn(self, record: Record) -> None:
        beginning = self.beginning
        beginning.timestamp = beginning.timestamp or self._timestamp
        beginning.version = beginning.version or name_of(record, "version")
        beginning.cwd = beginning.cwd or name_of(record, "cwd")
        beginning.git_branch = beginning.git_branch or name_of(record, "gitBranch")

    def _origin(self, line: int, record: Record) -> Origin:
        return Origin(
            self._timestamp,
            line,
            text_of(record, "uuid"),
            name_of(record, "cwd"),
            name_of(record, "gitBranch"),
            self._agent_of(record),
        )

    def _agent_of(self, record: Record) -> Agent | None:
        agent_id = name_of(record, "agentId")
        if not agent_id:
            if record.get("isSidechain") is not True:
                return None
            agent_id = "sidechain"  # before subagents had ids, they shared the trunk's file
        return self._agents.setdefault(agent_id, Agent(agent_id))

    def _kind_of(self, record: Record, text: str) -> str:
        if record.get("isSidechain") is True and self._agent_of(record) is not self._own_agent:
            return "subagent_prompt"
        return kind_of_prompt(record, text)

    def _read_assistant(self, line: int, record: Record) -> None:
        self._take_answer(record, self._origin(line, record))

    def _take_answer(self, record: Record, origin: Origin) -> None:
        self.has_begun = True
        body = object_of(record, "message")
        message = self._message_of(record, body, origin)
        message.piece_count += 1
        self._piece_counts[message.key] = message.piece_count
        message.usage = usage_of(body) or message.usage
        message.stop_reason = text_of(body, "stop_reason") or message.stop_reason
        message.is_error = message.is_error or record.get("isApiErrorMessage") is True
        content = body.get("content")
        if isinstance(content, str):
            message.texts.append(content)
        for block in blocks_of(content):
            kind = block.get("type")
            if kind == "text":
                message.texts.append(text_of(block, "text"))
            elif kind == "thinking":
                message.thoughts.append(text_of(block, "thinking"))
            elif kind == "tool_use":
                self._take_call(block, message, origin)

    def _message_of(self, record: Record, body: Block, origin: Origin) -> Message:
        message_id, request_id = text_of(body, "id"), text_of(record, "requestId")
        key = f"{message_id}/{request_id}" if message_id else origin.key
        message = self._messages.get(key)
        if message is None:
            message = Message(origin, key, message_id, request_id, name_of(body, "model"))
            message.piece_count = self._piece_counts.get(key, 0)
            self._messages[key] = message
            self._items.append(message)
            is_main = origin.agent is self._own_agent
            if self._turn == 0 and is_main and message.model != SYNTHETIC_MODEL:
                self.beginning.model = self.beginning.model or message.model
        return message

    def _take_call(self, block: Block, message: Message, origin: Origin) -> None:
        tool_use_id = text_of(block, "id") or f"{origin.key}/{len(self._items)}"
        if self._was_seen(tool_use_id):
            return
        call = Call(
            origin,
            tool_use_id,
            name_of(block, "name") or "unknown",
            block.get("input"),
            message.message_id,
            message.request_id,
            message.model,
            self._turn,
        )
        self._calls[tool_use_id] = call
        self._items.append(call)

    def _read_user(self, line: int, record: Record) -> None:
        origin = self._origin(line, record)
        self._takesaid_in(record, origin, content_of(record))

    def _takesaid_in(self, record: Record, origin: Origin, content: Any, kind: str = "") -> None:
        text, has_results, image_count = said_in(content)
        if has_results:
            self._take_results(record, content, origin)
        if not text and not image_count:
            return
        kind = kind or self._kind_of(record, text)
        self._items.append(Prompt(origin, origin.key, text, kind, image_count))
        if kind == "prompt":
            self.has_begun = True
        if self._turn == 0 and kind == "prompt":
            self.beginning.prompt = self.beginning.prompt or text
        elif self._turn == 0 and kind == "command":
            self.beginning.command = self.beginning.command or typed_command(text)

    def _take_results(self, record: Record, content: Any, origin: Origin) -> None:
        results = [block for block in blocks_of(content) if block.get("type") == "tool_result"]
        # The structured result belongs to the record, so with several blocks it is nobody's.
        structured = record.get("toolUseResult") if len(results) == 1 else None
        for block in results:
            tool_use_id = text_of(block, "tool_use_id")
            call = self._calls.get(tool_use_id)
            if call is None:
                self.counts.stray_results += 1
                self._items.append(Note(origin, tool_use_id or origin.key, "tool_result", block))
            elif call.result is None:
                if call.turn != self._turn:
                    call.turn = self._turn
                    self._items.append(call)
                call.result = block
                call.structured_result = structured
                call.result_timestamp = origin.timestamp

    def _read_progress(self, line: int, record: Record) -> None:
        data = object_of(record, "data")
        kind = text_of(data, "type")
        if kind != "agent_progress":
            self.counts.count(f"progress/{kind}", is_known=is_set_aside(f"progress/{kind}"))
            return
        agent = self._agent_in_progress(record, data)
        if self._has_own_transcript(agent.agent_id):
            self.counts.count("progress/agent_progress", is_known=True)
            return
        said = object_of(data, "message")
        origin = Origin(
            text_of(said, "timestamp") or self._timestamp,
            line,
            text_of(said, "uuid"),
            name_of(record, "cwd"),
            name_of(record, "gitBranch"),
            agent,
        )
        if said.get("type") == "assistant":
            self._take_answer(said, origin)
        else:
            self._takesaid_in(said, origin, content_of(said), "subagent_prompt")

    def _agent_in_progress(self, record: Record, data: Block) -> Agent:
        agent_id = name_of(data, "agentId") or "unknown"
        agent = self._agents.get(agent_id)
        if agent is None:
            parent_tool_use_id = text_of(record, "parentToolUseID")
            call = self._calls.get(parent_tool_use_id)
            started_with = call.input if call is not None and isinstance(call.input, dict) else {}
            agent = Agent(agent_id, name_of(started_with, "subagent_type"), parent_tool_use_id)
            self._agents[agent_id] = agent
        return agent

    def _read_system(self, line: int, record: Record) -> None:
        subtype = text_of(record, "subtype")
        is_quiet = not record.get("hookErrors") and record.get("preventedContinuation") is not True
        if is_quiet and is_set_aside(f"system/{subtype}"):
            self.counts.count(f"system/{subtype}", is_known=True)
            return
        origin = self._origin(line, record)
        self._items.append(Note(origin, origin.key, subtype or "system", record))

    def _read_queue_operation(self, line: int, record: Record) -> None:
        """Follow the queue of prompts that were typed while the model was at work.

        A dequeued prompt comes again as a user record. A removed one was given to the model in
        the middle of a turn and stands nowhere else.
        """
        operation, text = text_of(record, "operation"), text_of(record, "content")
        self.counts.count(f"queue-operation/{operation}", is_known=True)
        if operation == "enqueue":
            self._queued.append(text)
        elif operation == "popAll":
            self._queued = [one for one in self._queued if one.startswith(TASK_NOTIFICATION)]
        elif operation == "dequeue" and self._queued:
            self._queued.pop(0)
        elif operation == "remove" and self._queued:
            typed = [one for one in self._queued if not one.startswith(TASK_NOTIFICATION)]
            text = typed[0] if typed else self._queued[0]
            self._queued.remove(text)
            origin = self._origin(line, record)
            kind = "command" if text.startswith("/") else "queued"
            self._items.append(Prompt(origin, f"queued/{origin.timestamp}", text, kind))

    def _read_pr_link(self, line: int, record: Record) -> None:
        url = name_of(record, "prUrl")
        if url and not self._was_seen(url):
            self._items.append(Note(self._origin(line, record), url, "pr-link", record))

    def _read_summary(self, line: int, record: Record) -> None:
        """Keep the title of this session; the titles of others stand at the top of a file."""
        leaf = text_of(record, "leafUuid")
        if leaf not in self._seen:
            self.counts.count("summary/of another session", is_known=True)
            return
        key = f"{leaf}/{text_of(record, 'summary')}"
        self._items.append(Note(self._origin(line, record), key, "summary", record))
