"""The rules of the source tree, as tests: each failure reads `path:line: what is wrong`.

Who may import what, who may touch locks and durability, what a table's SQL may say, and how long
a function may be. CONTRIBUTING.md gives the reasons.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
LINE_LENGTH_MAX = 100

# Third-party package → the files that may import it.
ALLOWED_IMPORTERS = {
    # Of the standard library, but each of some versions only.
    "_sha2": r"provenance_log/claude_code/stand_ins\.py",
    "_sha256": r"provenance_log/claude_code/stand_ins\.py",
    "orjson": r"(provenance_log|projections)/.*",
    "click": r"provenance_log/(cli|terminal)\.py|\w+/(\w+/)?(commands|\w+_command)\.py",
    "duckdb": r"projections/database\.py",
    "nanoarrow": r"projections/arrow_streams\.py",
    "pandas": r"projections/rows\.py",
    "pyarrow": r"projections/rows\.py",
    # Imported only when a file of settings has changed, and then once for all that follow.
    "yaml": r"provenance_log/yaml_reading\.py",
    "watchdog": r"projections/daemon\w*\.py",
}
DURABILITY_CALLS = {
    *("flock", "lockf", "fsync", "fdatasync", "sync_file_range"),
    *("rename", "renames", "ftruncate", "truncate"),
}
BANNED_WORDS = {"util", "utils", "manager", "handler", "helper", "helpers", "misc"}


def files_below(*folders: str, suffixes: tuple[str, ...]) -> list[Path]:
    """Files of the repository, those in its root for the folder `.`, in a fixed order."""
    found: list[Path] = []
    for folder in folders:
        paths = ROOT.iterdir() if folder == "." else (ROOT / folder).rglob("*")
        found += [path for path in paths if path.is_file() and path.suffix in suffixes]
    return sorted(path for path in found if not is_made_by_a_tool(path))


def is_made_by_a_tool(path: Path) -> bool:
    if path == ROOT / ".git":
        return True  # a file where git has the directory elsewhere, in a worktree
    folders = set(path.relative_to(ROOT).parts[:-1]) - {".ci"}
    return any(folder == "__pycache__" or folder.startswith(".") for folder in folders)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


SOURCES = files_below("provenance_log", "projections", suffixes=(".py",))
PYTHON_FILES = files_below("provenance_log", "projections", "tests", "tools", suffixes=(".py",))
TABLE_FILES = files_below("projections/tables", suffixes=(".sql",))
SQL_FILES = files_below("projections", suffixes=(".sql",))
TEXT_FILES = files_below(
    *(".", ".ci", "docs", "provenance_log", "projections", "tests", "tools"),
    suffixes=("", ".json", ".md", ".py", ".sql", ".toml", ".txt", ".yaml"),
)


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every imported module of a file, also those imported inside functions, with its line."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: relative import"
            assert node.module is not None
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_the_tree_is_looked_at() -> None:
    """If a folder were renamed, the other tests would pass for want of files."""
    assert {"provenance_log/cli.py", "provenance_log/files.py"} <= set(map(name_of, SOURCES))
    assert {"Makefile", "README.md", ".ci/run"} <= set(map(name_of, TEXT_FILES))


def test_the_write_side_never_imports_the_read_side() -> None:
    wrong = [
        f"{name_of(path)}:{line}: imports {module}"
        for path in SOURCES
        if path.is_relative_to(ROOT / "provenance_log")
        for line, module in imports_of(path)
        if module.partition(".")[0] == "projections"
    ]
    assert wrong == []


def test_third_party_packages_are_imported_only_where_they_belong() -> None:
    ours = {"provenance_log", "projections", "__future__"}
    wrong = []
    for path in SOURCES:
        for line, module in imports_of(path):
            package = module.partition(".")[0]
            if package in sys.stdlib_module_names or package in ours:
                continue
            if not re.fullmatch(ALLOWED_IMPORTERS.get(package, r"\Z."), name_of(path)):
                wrong.append(f"{name_of(path)}:{line}: imports {package}")
    assert wrong == []


def test_the_format_is_a_leaf() -> None:
    """The bytes of a line are known to these modules, and they know nothing else of ours."""
    leaf = ("errors", "strict_json", "format")
    inner = {
        module.split(".")[1]
        for name in leaf
        for _, module in imports_of(ROOT / "provenance_log" / f"{name}.py")
        if module.startswith("provenance_log.")
    }
    assert inner <= set(leaf)


def test_only_files_py_locks_syncs_renames_and_truncates() -> None:
    """One place decides what survives a crash, so that one place has to be right."""
    wrong = [
        f"{name_of(path)}:{node.lineno}: calls {ast.unparse(node.func)}"
        for path in SOURCES
        if path != ROOT / "provenance_log" / "files.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and touches_durability(node)
    ]
    assert wrong == []


def touches_durability(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return isinstance(call.func, ast.Name) and call.func.id in DURABILITY_CALLS
    owner = call.func.value
    if isinstance(owner, ast.Name) and owner.id == "files":
        return False
    if call.func.attr == "replace":
        # `path.replace(target)`; text has two arguments, a dataclass or a time has keywords.
        return ast.unparse(owner) == "os" or (len(call.args) == 1 and not call.keywords)
    return call.func.attr in DURABILITY_CALLS


def test_recording_loads_no_database_no_yaml_and_no_command_line() -> None:
    """An agent that records pays for recording only."""
    script = "import provenance_log, provenance_log.recording, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "provenance_log" in loaded
    assert loaded & {"click", "duckdb", "nanoarrow", "projections", "watchdog", "yaml"} == set()


def test_no_function_is_longer_than_a_screen() -> None:
    wrong = []
    for path in PYTHON_FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    wrong.append(f"{name_of(path)}:{node.lineno}: {node.name}: {lines} lines")
    assert wrong == []


def test_no_file_is_too_long_to_read_in_one_sitting() -> None:
    lengths = {path: len(path.read_bytes().splitlines()) for path in (*PYTHON_FILES, *SQL_FILES)}
    wrong = [f"{name_of(p)}:1: {n} lines" for p, n in lengths.items() if n > FILE_LINES_MAX]
    assert wrong == []


def test_no_name_says_only_that_something_is_done_with_something() -> None:
    named = [(path, 1, path.stem) for path in SOURCES]
    for path in SOURCES:
        tree = ast.walk(ast.parse(path.read_text("utf-8")))
        definitions = (n for n in tree if isinstance(n, ast.FunctionDef | ast.ClassDef))
        named += [(path, node.lineno, node.name) for node in definitions]
    assert [f"{name_of(p)}:{line}: {name}" for p, line, name in named if is_banned(name)] == []


def is_banned(name: str) -> bool:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_")
    return not BANNED_WORDS.isdisjoint(words)


def test_text_files_are_tidy() -> None:
    """No trailing blanks, a newline at the end, and lines of code that fit a screen."""
    wrong = []
    for path in TEXT_FILES:
        text = path.read_text("utf-8")
        if text and not text.endswith("\n"):
            wrong.append(f"{name_of(path)}: no newline at its end")
        for number, line in enumerate(text.split("\n"), start=1):
            is_code = path.suffix in {".py", ".sql", ".toml"}
            if line != line.rstrip():
                wrong.append(f"{name_of(path)}:{number}: trailing blanks")
            if is_code and len(line) > LINE_LENGTH_MAX:
                wrong.append(f"{name_of(path)}:{number}: {len(line)} characters")
    assert wrong == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """Paths of a developer's machine and package registries work nowhere else."""
    machine = re.compile(
        r"(?<![\w.~-])/(work|root|opt)/\w|/tmp/w/|pypi\.org|pythonhosted\.org|index-url|find-links"
    )
    wrong = [
        f"{name_of(path)}:{number}: {match[0]}"
        for path in TEXT_FILES
        if path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text("utf-8").split("\n"), start=1)
        if (match := machine.search(line))
    ]
    assert wrong == []


def test_every_sql_file_and_every_module_is_used() -> None:
    """A file that nothing names is dead, or was forgotten."""
    code = "\n".join(path.read_text("utf-8") for path in SOURCES)
    # A name may be put together as f"index_{name}".
    dead = [
        name_of(path)
        for path in SQL_FILES
        if not re.search(rf'"({path.stem}"|{path.stem.partition("_")[0]}_{{)', code)
    ]
    imported = {module for path in SOURCES for _, module in imports_of(path)}
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    imported |= set(re.findall(r'"([\w.]+):\w+"', code))
    imported.add("projections.queries")  # for programs of others; a public name of the project
    imported |= {script.partition(":")[0] for script in scripts.values()}
    for path in SOURCES:
        module = name_of(path).removesuffix(".py").replace("/", ".")
        if module not in imported and path.name not in {"__init__.py", "cli.py"}:
            dead.append(name_of(path))
    assert dead == []


# What would make f(A and B together) differ from f(A) followed by f(B), or two runs differ.
_AGGREGATE = (
    "any_value|arbitrary|arg_max|arg_min|array_agg|avg|bool_and|bool_or|count|first|group_concat"
    "|histogram|last|list|max|max_by|median|min|min_by|mode|quantile|string_agg|sum"
)
NOT_ROW_WISE = {
    "an aggregate": rf"\b({_AGGREGATE})\s*\(",
    "a grouping": r"\bgroup\s+by\b|\bhaving\b",
    "a window": r"\bover\s*\(|\bqualify\b|\bwindow\b",
    "distinct": r"\bdistinct\b",
    "an order or a limit": r"\blimit\b|\boffset\s+\d|\border\s+by\b|\busing\s+sample\b",
    "the clock": r"\b(now|today|current_\w+|get_current_\w+|localtime\w*)\b\s*(\(|(?!\w))",
    "chance": r"\b(random|setseed|uuid|uuidv\d|gen_random_uuid)\s*\(",
    "a set operation": r"\b(union|intersect|except)\b",
}


def sql_code(path: Path) -> str:
    """The statement in lower case, without its comments and the content of its strings."""
    text = path.read_text("utf-8").lower()
    return re.sub(r"/\*.*?\*/|--[^\n]*|'(?:[^']|'')*'", " ", text, flags=re.DOTALL)


BY_SESSION = {"sessions", "session_tools", "session_files"}
ROW_WISE_FILES = [path for path in TABLE_FILES if path.stem not in BY_SESSION]


@pytest.mark.parametrize("path", ROW_WISE_FILES, ids=lambda path: path.stem)
def test_sql_of_a_table_is_row_wise(path: Path) -> None:
    """C1: a SELECT over `batch` alone is the same for one batch and for all of them together.

    The exceptions aggregate, of the sessions that were touched, the rows of the other tables.
    """
    code = sql_code(path)
    wrong = [what for what, pattern in NOT_ROW_WISE.items() if re.search(pattern, code)]
    relations = set(re.findall(r"\b(?:from|join)\s+([a-z_][\w.]*)", code))
    named_here = set(re.findall(r"\b([a-z_]\w*)\s+as\s+(?:materialized\s+)?\(", code))

    assert wrong == []
    assert relations - named_here <= {"batch", "unnest"}


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("select count(*) from batch", "an aggregate"),
        ("select 1 from batch limit 3", "an order or a limit"),
        ("select row_number() OVER (partition by x) from batch", "a window"),
        ("select current_timestamp from batch", "the clock"),
        ("select Now() from batch", "the clock"),
        ("select gen_random_uuid() from batch", "chance"),
        ("select distinct x from batch", "distinct"),
    ],
)
def test_the_row_wise_rule_sees_what_it_forbids(sql: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "t.sql").write_text(f"-- a comment\n{sql}\n")
    assert re.search(NOT_ROW_WISE[what], sql_code(tmp_path / "t.sql"))


def test_every_data_file_of_a_package_is_installed_with_it() -> None:
    """A file that only a checkout has would be missed by whoever installs a wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    missing = [
        name_of(path)
        for package, globs in project["tool"]["setuptools"]["package-data"].items()
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".py" and not is_made_by_a_tool(path)
        if not any(path in (ROOT / package).glob(pattern) for pattern in globs)
    ]
    assert missing == []


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    found = [re.fullmatch(r"([\w-]+)==([\w.]+)", line) for line in lines if line[:1] != "#"]
    assert None not in found, f"{name} has a line that is not name==version"
    return {match[1].lower(): match[2] for match in found if match}


def test_constraints_pin_every_dependency_and_the_lowest_are_the_lower_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = dict(project["optional-dependencies"])
    tools = [re.split(r"[\[>]", tool)[0] for tool in extras.pop("dev")]
    wanted = [*project["dependencies"], *(each for extra in extras.values() for each in extra)]
    bounds = dict(requirement.split(">=") for requirement in wanted)

    assert pins("constraints-lowest.txt") == bounds
    assert {name.lower() for name in (*bounds, *tools)} <= set(pins("constraints.txt"))
