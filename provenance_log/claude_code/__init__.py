"""Claude Code: its transcripts become sessions.

One import goes through these modules in this order, each knowing only those before it:

`transcripts`   a file becomes records, with whatever could not be read named by its place
`conversation`  records become items in order: calls with their results, messages, prompts
`actions`       an item becomes an action line (`tools`, `shell_commands`, `decisions` help it)
`families`      files are grouped: a session's transcripts, and those of its subagents
`importing`     items that a store lacks are appended to it
`locate`        where Claude Code keeps the transcripts of a project

The format of a transcript is internal to Claude Code and changes between versions, so every field
is taken for what it is, never for what it should be.
"""
