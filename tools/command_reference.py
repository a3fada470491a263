"""Print docs/commands.md: every command of `provlog` with its options and example.

`make docs` writes the file; a test fails while it differs from what this prints.
"""

import inspect
from collections.abc import Iterator

import click

from provenance_log.cli import provlog

HEAD = """\
# Commands

Made by `make docs` from the help texts; `provlog COMMAND --help` shows the same.
`provlog --version` prints the version.
Exit codes: 0 done; 1 refused or failed, as the message on stderr says; 2 the command line is wrong;
130 interrupted; 141 whoever read the output went away.
[errors.md](errors.md) lists the errors."""


def reference() -> str:
    """Return the document."""
    return "\n\n".join([HEAD, *sections(provlog, "provlog")])


def sections(group: click.Group, name: str) -> Iterator[str]:
    """Yield one section per command below a group, in the order of its table."""
    context = click.Context(group, info_name=name)
    for command_name in group.list_commands(context):
        command = group.get_command(context, command_name)
        assert command is not None
        full_name = f"{name} {command_name}"
        yield section(command, full_name)
        if isinstance(command, click.Group):
            yield from sections(command, full_name)


def section(command: click.Command, name: str) -> str:
    """Return heading, text, example and options of one command."""
    text, _, example = inspect.cleandoc(command.help or "").partition("\b\nExample:\n")
    arguments = [
        (parameter.metavar or (parameter.name or "").upper())
        for parameter in command.params
        if isinstance(parameter, click.Argument)
    ]
    parts = [f"## {' '.join([name, *arguments])}", text.replace("\b\n", "").strip()]
    if example:
        parts.append(f"```\n{inspect.cleandoc(example)}\n```")
    options = [option for option in command.params if isinstance(option, click.Option)]
    if options:
        parts.append("\n".join(map(described, options)))
    return "\n\n".join(parts)


def described(option: click.Option) -> str:
    """Return one option as an item of a list."""
    value = "" if option.is_flag else f" {option.metavar or (option.name or '').upper()}"
    names = ", ".join([*option.opts, *option.secondary_opts])
    default = f" Default: {option.default}." if option.show_default else ""
    return f"- `{names}{value}`: {' '.join((option.help or '').split())}{default}"


if __name__ == "__main__":
    print(reference())
