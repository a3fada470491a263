"""Verify what is archived: unpacked beside the store, and held against the head in the index."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from provenance_log.anchors import Anchor
from provenance_log.archive_index import month_path
from provenance_log.errors import ArchiveDamaged
from provenance_log.restoring import unpacked_session
from provenance_log.store import LOG_NAME
from provenance_log.verifying import Report, unreadable, verify_log

if TYPE_CHECKING:
    from provenance_log.archive_index import ArchivedSession
    from provenance_log.store import Store


def verify_archived(store: Store, entry: ArchivedSession) -> Report:
    """Return what is true of an archived log and its blobs.

    Every other file of the session was compared with the digest in the index before. A part of a
    month file that is damaged is the verdict `UNKNOWN`. Raises OSError where there is no room to
    unpack.
    """
    place = month_path(store, entry.month) / entry.member / LOG_NAME
    try:
        with unpacked_session(store, entry) as unpacked:
            anchor = Anchor(entry.head, entry.lines, entry.bytes)
            report = verify_log(unpacked.log, anchor)
    except ArchiveDamaged as error:
        return unreadable(place, error.message)
    levels = tuple(level for level in report.levels if level.name != "derived")
    return replace(report, log=place, levels=levels)
