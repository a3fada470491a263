"""The action that benchmarks and soak runs append."""

from __future__ import annotations

from typing import Any

ACTION: dict[str, Any] = {
    "type": "read",
    "tool": "Read",
    "status": "success",
    "duration_ms": 12,
    "details": {
        "input_params": {"file_path": "src/agents/growth_media.py", "limit": 200},
        "output_data": {"lines_count": 200, "encoding": "utf-8"},
        "cache_hit": False,
    },
    "files_affected": ["src/agents/growth_media.py"],
    "read_only": True,
    "event_type": "tool_call",
    "event_name": "Read",
}
