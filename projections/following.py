"""Reading and decoding what was planned for sessions, batch by batch; needs no database.

Used in the projector's own process and in those that `decoding` starts.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from projections.batch import decode_lines
from projections.checkpoints import advance, cut_chunk
from projections.loading import Batch, Settlement
from projections.planning import open_log
from provenance_log.errors import LogUnsafe
from provenance_log.reader import Chunk, read_chunk

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from projections.checkpoints import Checkpoint
    from projections.planning import SessionPlan

_LEAST_READ_BYTES = 64 * 1024


class Following:
    """Sessions on their way to the ends of their logs, in turn."""

    def __init__(self, plans: Iterable[SessionPlan], problems: list[str]) -> None:
        """`problems` gets a sentence for each log that can't be read."""
        self._problems = problems
        self._followed = deque(map(Follow, plans))

    def next_batch(self, bytes_max: int) -> Batch | None:
        """Return about so many bytes of log as one batch; None when everything was read."""
        batch = Batch()
        left_bytes = bytes_max
        while self._followed and (left_bytes >= _LEAST_READ_BYTES or not batch.session_ids):
            follow = self._followed.popleft()
            try:
                follow.read_into(batch, left_bytes)
            except (OSError, LogUnsafe) as error:  # it changed since it was planned
                self._problems.append(str(error))
                continue
            left_bytes = bytes_max - batch.size_bytes
            if not follow.is_done:
                self._followed.append(follow)
        return batch if batch.session_ids else None


class Follow:
    """One session on its way to the end of its log."""

    def __init__(self, plan: SessionPlan) -> None:
        self.plan = plan
        self.is_done = False
        self._is_first = True
        self._checkpoint = None if plan.source is None else plan.source.checkpoint

    def read_into(self, batch: Batch, bytes_max: int) -> None:
        """Read and decode the next lines, about `bytes_max` of them, and add them to a batch."""
        plan = self.plan
        if plan.source is None or self._checkpoint is None:
            self.is_done = True
        else:
            self._checkpoint = self._read(plan.source.path, self._checkpoint, batch, bytes_max)
        if self._is_first:
            self._is_first = False
            if plan.must_clear:
                batch.cleared.append(plan.session_id)
            if plan.must_settle:
                settlement = Settlement(plan.session_id, plan.others, plan.relations, plan.observed)
                batch.settlements.append(settlement)

    def _read(self, path: Path, start: Checkpoint, batch: Batch, bytes_max: int) -> Checkpoint:
        limit = self.plan.limit
        with open_log(path) as (fd, status):
            if limit is not None and start.line_offset >= limit:
                chunk = Chunk((), start.position, at_end=False, tail_bytes=0)
            else:
                chunk = cut_chunk(read_chunk(fd, start.position, bytes_max=bytes_max), limit)
            end = advance(start, fd, status, chunk)
        rows, refused = decode_lines(chunk.lines, start.session_id, start.log)
        batch.rows.extend(rows)
        batch.refused.extend(refused)
        batch.size_bytes += end.line_offset - start.line_offset
        self.is_done = chunk.at_end or not chunk.lines or end.line_offset == limit
        if self.plan.end is not None and end.line_offset == limit:
            end = self.plan.end
        batch.checkpoints.append(end)
        return end
