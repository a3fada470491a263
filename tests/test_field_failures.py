"""The page of field failures and the tests in tests/faults agree, row by row."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "field-failures.md").read_text("utf-8")
ROW = re.compile(
    r"^\| \[([^\]]+)\]\((\S+)\) \| [^|]{20,} \| [^|]{20,} \| `(test_\w+)` \|$", re.MULTILINE
)


def cases() -> dict[str, str]:
    """Every test of a field failure with the thread that its docstring begins with."""
    found = {}
    for path in sorted((ROOT / "tests" / "faults").glob("test_field_failures*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found[node.name] = (ast.get_docstring(node) or "").partition(":")[0]
    return found


def test_page_of_field_failures_has_a_row_for_each_test_and_no_other() -> None:
    assert {name: thread for thread, _, name in ROW.findall(PAGE)} == cases()
    assert PAGE.count("| `test_") == len(cases()) > 50


def test_every_thread_is_a_link_to_itself() -> None:
    wrong = [
        thread
        for thread, link, _ in ROW.findall(PAGE)
        if link
        not in {
            f"https://github.com/{thread.replace('#', '/issues/')}",
            f"https://issues.apache.org/jira/browse/{thread}",
        }
    ]
    assert wrong == []
