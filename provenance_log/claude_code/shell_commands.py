"""Say of a shell command whether it can only read. Whatever is not plainly harmless is not.

This is a label for people who look for changes, not a guard: a program named here may be
anything on another person's PATH.
"""

from __future__ import annotations

import re

LENGTH_MAX = 10_000

# One token: a quoted or plain word, or an operator. A double-quoted text with `$(` or a backtick
# in it runs a command, so it is no token, and neither is anything that is not listed here.
_TOKEN = re.compile(
    r"""
    (?P<space> [ \t]+ | \\\n )
  | (?P<quiet> (?:[12]?>>?|&>)[ \t]*/dev/null(?![\w/.]) | 2>&1(?!\w) )
  | (?P<next>  \|\|? | && | ; | \n )
  | (?P<word>  (?: [^\s|&;<>()`$"'\\] | \\[^\n] | \$\w+ | \$\{\w+\} | '[^']*'
                 | "(?:[^"\\`$]|\\.|\$(?!\())*" | \$(?=["\s|;]|$) )+ )
    """,
    re.VERBOSE | re.DOTALL,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")

_READERS = _words(
    "[ awk basename cat cd cmp column comm cut df diff dirname du echo egrep expr false fgrep file "
    "find fold grep head hexdump id jq less ls md5sum more nl od printf ps pwd readlink realpath "
    "rg sed seq sha1sum sha256sum shasum sleep sort stat strings tac tail test tr tree true type "
    "uname uniq wc which whoami"
)
_GIT_READERS = _words(
    "blame cat-file describe diff diff-tree for-each-ref grep log ls-files ls-remote ls-tree "
    "merge-base name-rev rev-list rev-parse shortlog show show-ref status whatchanged"
)
_GIT_OPTIONS_WITH_VALUE = frozenset({"-C", "--git-dir", "--work-tree"})
_GIT_RUNNING_OPTIONS = ("--ext-diff", "--open-files-in-pager", "-O")
_FIND_ACTIONS = _words("-delete -exec -execdir -ok -okdir -fprint -fprint0 -fprintf -fls")
_WRITING_OPTIONS = {
    "diff": ("--output",),
    "git": ("--output",),
    "less": ("-o", "-O", "--log-file", "--LOG-FILE"),
    "rg": ("--pre",),
    "sort": ("-o", "--output", "--compress-program"),
    "tree": ("-o",),
}
_AWK_WRITES = re.compile(r"[>|]|\bsystem\b|\bgetline\b|@load|-i\b|--include|-f\b|--file")
_SED_PRINTS = re.compile(r"(?:\d+|\$)?(?:,(?:\d+|\$))?p|/[^/\n]*/p")


def only_reads(command: str) -> bool:
    """Say whether every part of a command is known to read only."""
    if len(command) > LENGTH_MAX:
        return False
    position = 0
    words: list[str] = []
    while position < len(command):
        token = _TOKEN.match(command, position)
        if token is None:
            return False
        position = token.end()
        if token.lastgroup == "word":
            words.append(_unquoted(token[0]))
        elif token.lastgroup == "next":
            if words and not _is_reader(words):
                return False
            words = []
    return not words or _is_reader(words)


def _unquoted(word: str) -> str:
    if "'" not in word and '"' not in word and "\\" not in word:
        return word
    return re.sub(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)""", _inner, word, flags=re.DOTALL)


def _inner(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None)


def _is_reader(words: list[str]) -> bool:
    # A variable set before a command can change what the command runs (PAGER, GIT_DIR …).
    program, arguments = words[0], words[1:]
    if _ASSIGNMENT.match(program) or program.startswith("$"):
        return False
    for option in _WRITING_OPTIONS.get(program, ()):
        if any(_is_option(argument, option) for argument in arguments):
            return False
    if program == "git":
        return _is_git_reader(arguments)
    if program == "find":
        return _FIND_ACTIONS.isdisjoint(arguments)
    if program == "sed":
        return _is_sed_reader(arguments)
    if program == "awk":
        return not any(map(_AWK_WRITES.search, arguments))
    if program == "uniq":
        return sum(not argument.startswith("-") for argument in arguments) < 2
    return program in _READERS


def _is_option(argument: str, option: str) -> bool:
    if option.startswith("--"):
        return argument == option or argument.startswith(option + "=")
    is_cluster = argument.startswith("-") and not argument.startswith("--")
    return is_cluster and option[1] in argument


def _is_git_reader(arguments: list[str]) -> bool:
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in _GIT_OPTIONS_WITH_VALUE and rest:
            rest.pop(0)
        elif option not in {"--no-pager", "-P"}:
            return False
    if not rest:
        return False
    if rest[0] == "branch":
        return set(rest[1:]) <= {"-a", "-r", "-v", "-vv", "--all", "--list", "--show-current"}
    if rest[0] == "remote":
        return set(rest[1:]) <= {"-v"}
    if rest[0] == "stash":
        return rest[1:2] in (["list"], ["show"])
    runs_programs = any(argument.startswith(_GIT_RUNNING_OPTIONS) for argument in rest[1:])
    return rest[0] in _GIT_READERS and not runs_programs


def _is_sed_reader(arguments: list[str]) -> bool:
    """`sed -n 10,20p file` reads; other scripts may write or run something."""
    if arguments[:1] not in (["-n"], ["-ne"]) or len(arguments) < 2:
        return False
    script, files = arguments[1], arguments[2:]
    prints = all(_SED_PRINTS.fullmatch(part.strip()) for part in script.split(";"))
    return prints and not any(argument.startswith("-") for argument in files)
