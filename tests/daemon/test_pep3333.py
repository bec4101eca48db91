"""pep3333.md: every section and every clause has its tests, and they exist."""
import ast
import glob
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))

# Those of the PEP that require something, in its order.
SECTIONS = [
    "Specification Overview", "A Note On String Types", "The Application/Framework Side", "The Server/Gateway Side",
    "Middleware: Components that Play Both Sides", "Specification Details", "environ Variables", "Input and Error Streams",
    "The start_response() Callable", "Handling the Content-Length Header", "Buffering and Streaming",
    "Middleware Handling of Block Boundaries", "The write() Callable", "Unicode Issues", "Error Handling",
    "HTTP 1.1 Expect/Continue", "Other HTTP Features", "Thread Support", "Server Extension APIs",
    "Application Configuration", "URL Reconstruction", "Supporting Older (<2.2) Versions of Python",
    "Optional Platform-Specific File Handling", "Questions and Answers",
]


def existing_tests():
    found = set()
    for path in glob.glob(os.path.join(HERE, "test_*.py")):
        with open(path) as file:
            tree = ast.parse(file.read(), path)
        module = os.path.basename(path)[:-len(".py")]
        found |= {"%s::%s" % (module, node.name) for node in tree.body
                  if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    return found


def clauses():
    """The rows of the table: {section: [(clause, tests)]}."""
    table, rows = {}, None
    with open(os.path.join(HERE, "pep3333.md")) as file:
        for line in file.read().splitlines():
            if line.startswith("## "):
                rows = table.setdefault(line[3:], [])
            elif line.startswith("|") and rows is not None and line not in ("| clause | tests |", "|---|---|"):
                cells = [cell.strip() for cell in line.strip("|").split("|")]
                assert len(cells) == 2, line
                rows.append(tuple(cells))
    return table


def test_every_section_is_there():
    table = clauses()
    assert list(table) == SECTIONS
    assert all(table.values())


def test_every_clause_has_tests_that_exist():
    existing = existing_tests()
    for section, rows in clauses().items():
        for clause, tests in rows:
            if re.fullmatch(r"none: .{20,}", tests):
                continue
            assert tests.split(), "%s: %s has no test" % (section, clause)
            for test in tests.split():
                assert test in existing, "%s: %s names %s, which does not exist" % (section, clause, test)
