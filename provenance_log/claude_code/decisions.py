"""Calls that decide something, in the columns of the decisions table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provenance_log.claude_code.fields import Block, blocks_of, object_of, text_of
from provenance_log.claude_code.outcomes import words_of_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from provenance_log.claude_code.calls import Call

_Columns = dict[str, Any]


def decision_columns(call: Call, status: str) -> _Columns:
    """Return the decision that a call is; empty for a call that decides nothing.

    What the input holds as a whole is not repeated here: `input_values` names what was decided
    about in the fewest words that tell it.
    """
    describe = _DESCRIBE.get(call.tool)
    if describe is None:
        return {}
    tool_input = call.input if isinstance(call.input, dict) else {}
    columns = describe(call, tool_input, status)
    if status == "skipped":
        columns |= {"branch_taken": "rejected", "reason": words_of_user(call)}
    columns = {name: value for name, value in columns.items() if value not in ("", [], {})}
    return {"decision_id": call.call_id, **columns}


def _question(call: Call, tool_input: Block, _status: str) -> _Columns:
    questions = blocks_of(tool_input.get("questions"))
    texts = [text_of(question, "question") for question in questions]
    structured = call.structured_result if isinstance(call.structured_result, dict) else {}
    answers = object_of(structured, "answers")
    given = {text: answers[text] for text in texts if isinstance(answers.get(text), str)}
    options = [_labels(question.get("options")) for question in questions]
    is_one = len(texts) == 1
    taken = given.get(texts[0], "") if is_one else _lines(given)
    return {
        "decision_type": "user_question",
        "decision_point": texts[0] if is_one else "\n".join(texts),
        "input_values": {"questions": texts} if not is_one else {},
        "branch_taken": taken,
        "branches_available": options[0] if is_one else dict(zip(texts, options, strict=True)),
    }


def _labels(options: Any) -> list[str]:
    return [text_of(option, "label") for option in blocks_of(options)]


def _lines(answers: dict[str, str]) -> str:
    return "\n".join(f"{question}: {answer}" for question, answer in answers.items())


def _leave_plan_mode(call: Call, tool_input: Block, status: str) -> _Columns:
    structured = call.structured_result if isinstance(call.structured_result, dict) else {}
    path = text_of(structured, "filePath") or text_of(tool_input, "planFilePath")
    return {
        "decision_type": "plan_approval",
        "decision_point": "approve the plan",
        "input_values": {"plan_file": path} if path else {},
        "branch_taken": "approved" if status == "success" else "",
        "branches_available": ["approved", "rejected"],
    }


def _enter_plan_mode(_call: Call, _input: Block, status: str) -> _Columns:
    return {
        "decision_type": "plan_mode",
        "decision_point": "plan before changing anything",
        "branch_taken": "entered" if status == "success" else "",
        "branches_available": ["entered", "rejected"],
    }


def _write_todos(_call: Call, tool_input: Block, _status: str) -> _Columns:
    todos = blocks_of(tool_input.get("todos"))
    contents = [text_of(todo, "content") for todo in todos]
    done = [text_of(todo, "content") for todo in todos if todo.get("status") == "completed"]
    now = [text_of(todo, "content") for todo in todos if todo.get("status") == "in_progress"]
    return {
        "decision_type": "task_plan",
        "decision_point": "what to do next",
        "input_values": {"completed": done} if done else {},
        "branch_taken": "\n".join(now),
        "branches_available": contents,
    }


def _create_task(_call: Call, tool_input: Block, _status: str) -> _Columns:
    return {
        "decision_type": "task_plan",
        "decision_point": text_of(tool_input, "subject"),
        "branch_taken": "created",
        "reason": text_of(tool_input, "description"),
    }


def _update_task(call: Call, tool_input: Block, _status: str) -> _Columns:
    structured = call.structured_result if isinstance(call.structured_result, dict) else {}
    change = object_of(structured, "statusChange")
    return {
        "decision_type": "task_plan",
        "decision_point": f"task {text_of(tool_input, 'taskId')}",
        "input_values": {"from": change["from"]} if "from" in change else {},
        "branch_taken": text_of(tool_input, "status") or "updated",
    }


_DESCRIBE: dict[str, Callable[[Call, Block, str], _Columns]] = {
    "AskUserQuestion": _question,
    "EnterPlanMode": _enter_plan_mode,
    "ExitPlanMode": _leave_plan_mode,
    "TaskCreate": _create_task,
    "TaskUpdate": _update_task,
    "TodoWrite": _write_todos,
}
