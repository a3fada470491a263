"""Add to a log what people used to write into manifests: findings, warnings, goals and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from provenance_log.appender import Appender

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provenance_log.appender import Appended
    from provenance_log.store import SessionDirectory

AnnotationKind: TypeAlias = Literal["finding", "recommendation", "warning", "goal", "note"]
TOOL = "provlog annotate"


def annotate(
    directory: SessionDirectory, annotations: Sequence[tuple[AnnotationKind, str]]
) -> list[Appended]:
    """Append annotations to a session's log, all of them or none, in their order.

    They are on the disk when this returns. The session may be running or long over: annotations
    after its end do not open it again. Raises the errors of `Appender.append_many`.
    """
    appender = Appender(directory.log, durability="disk")
    try:
        return appender.append_many([_action(kind, text) for kind, text in annotations])
    finally:
        appender.close()


def _action(kind: AnnotationKind, text: str) -> dict[str, Any]:
    return {
        "type": "analyze",  # a finding is not a decision, which readers count by this type
        "tool": TOOL,
        "status": "success",
        "details": {"text": text},
        "read_only": True,
        "event_type": "annotation",
        "event_name": kind,
    }
