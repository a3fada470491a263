"""Attacks on the promises of `docs/guarantees.md`: faults on purpose, and a look at what is left.

An attack is given an `Effort` (where, from which seed, how often or until when) and hands back an
`Attacked` (what was injected, how many runs, which promises broke). `tests/faults/` runs each with
a fixed seed and number, `make soak MINUTES=…` with a new seed for as long as it is told; both end
with the table of `scoring`.

`effort`      what an attack is given
`scoring`     what it hands back, and the table of all of them
`postcheck`   the standard look at a store after any fault

`kills`             writers of one log killed at random, and the holder of its lock stopped
`kills_recording`   recorders of hooks, and drainers of the spool, killed at random
`kills_projecting`  projectors, rebuilds and daemons killed at random
`forking`           a process that forks those who are killed, which costs milliseconds
`killed`            what they do, and ways to break the product to see that an attack can fail

`system_calls`      a fault at every system call of an operation, or two
`injecting`         how strace counts calls, and lets one fail
`operations`        what is done meanwhile
`short_writes`      a line of which only n bytes have room

`exhaustion`    space, files or descriptors run out during an operation, and are there again
`exhausting`    how they run out
`signal_storm`  a thousand signals in a second while threads append

`power_cuts`        the power of a disk cut between any two writes
`recorded_disk`     a disk of which every write is recorded
`powered`           what is done on it

`poison_logs`       every cut and every flipped bit of a log of 8 KiB
`poison_lines`      lines that Python, DuckDB and jq might read differently
`fuzz`              fuzzing with coverage guidance; needs the extra `fuzz`
`fuzz_child`, `fuzz_seeds`, `fuzz_targets`  its process, what it begins with, what it demands

`model`             a real store against a simple model of it, in any order of acts and harms
`model_…`           its parts: bytes, world, appending, harms, tables, projecting, keeping, machine
`memory_tables`     tables in memory, and lines to fill them with

`databases`         harm to a database's files: every cut, flipped bits, write-ahead logs
`databases_held`    somebody else has the database open
`databases_kills`   its writer killed in a transaction, a checkpoint, a replay
`databases_layouts`, `databases_limits`  other versions; too little memory, a full disk
`databases_image`, `databases_looks`     a database and its logs; what is made of it, and must be
"""
