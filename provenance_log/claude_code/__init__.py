"""Claude Code: its transcripts become sessions, and so does what its hooks tell.

One import goes through these modules in this order, each knowing only those before it:

`transcripts`   a file becomes records, with whatever could not be read named by its place
`conversation`  records become items in order: calls with their results, messages, prompts
`actions`       an item becomes an action line (`tools`, `shell_commands`, `decisions` help it)
`families`      files are grouped: a session's transcripts, and those of its subagents
`importing`     items that a store lacks are appended to it
`locate`        where Claude Code keeps the transcripts of a project

A hook's process goes through these, and shares `actions` and `calls` with the import:

`hook`          the process: stdin in, nothing out, exit code 0 (`hook_process`); what it
                imports of the standard library is as little as it can be (`stand_ins`,
                `light_classes`)
`arriving`      bytes become an arrival (`arrivals`), stamped with time and git state
`recorder`      an arrival finds its session; what can't be appended goes to the spool
`hook_calls`    under the log's lock: starts, results, and what is left without one
`hook_lines`    every other event
`recognition`   how hooks and transcripts agree on what they saw

`following` imports again and again, `intake` does so beside a daemon, and `installing` changes
settings through `hook_settings`.

The format of a transcript is internal to Claude Code and changes between versions, so every field
is taken for what it is, never for what it should be.
"""
