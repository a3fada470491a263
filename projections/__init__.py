"""The read side of provenance-log: how the tables follow from the logs, and stay so.

**Ground state** is `sessions/<name>/actions.jsonl`, which this package reads and never writes.
**Derived state** is everything made here: the DuckDB tables, the manifests, summaries and indices.
All of it may be deleted at any time; `rebuild` brings back the same content.

*Planning.* `planning` looks at the directories and compares each log with its checkpoint
(`checkpoints`): has it grown, moved, been cut, edited or replaced? The same session in several
directories is counted once (`duplicates`). The outcome is a plan: which session is to be projected
from which log, from which byte on.

*Working.* `work` takes complete new lines of the sessions in turn, decodes them into rows
(`batch`), and hands them over as columns (`columns`). `loading` writes a batch in one transaction:
the relation `batch` through one SELECT per table (`tables/*.sql`), what could not be decoded to the
quarantine, the touched sessions anew from the other tables, and the checkpoints. Whatever is
killed, the tables are what the checkpoints say.

    >>> from projections.projector import catch_up
    >>> from projections.rebuild import rebuild
    >>> catch_up(store)
    >>> rebuild(store, verify=True)

*Why catching up equals rebuilding.* A table's SELECT is row-wise: f(A and B) = f(A) and f(B), so it
does not matter how the lines were cut into batches. Every value comes from the log: no clock, no
chance, no order of directories. `dump` says what is equal, and a property test cuts at random.

*Whose database.* DuckDB admits one writer or many readers, so it is open for a batch only.
`database` is the one module that opens it, and names what is in the way (`refusals`). It may hold
other people's tables: `layout` knows which are ours, and `rebuild` replaces those and no others.

*Archived sessions.* `archived` knows the index of the archive: a session in it that no directory
holds is not gone. Its rows are cleared, or kept and made again from the unpacked log.

*Derived files.* After the commit, `freshness` brings the files of the touched sessions up to date:
`derived` renders them as pure functions of the tables.

*Looking.* `looking`, `questions`, `console` and `status` answer from a read-only connection, and
`parity` says whether database and files still are what the logs say. `queries` is for programs:
the predecessor's questions, each of which opens the database, reads and closes it.
"""
