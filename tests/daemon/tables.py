"""Reads the tables that say which tests are there for what: sections with two columns, the point and its tests.

A test is named MODULE::TEST, of this folder, its subfolders or tests/proxies, and FOLDER/PROGRAM::TEST, of tests/unit.
"""
import ast
import glob
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
HEADINGS = re.compile(r"\| \w+ \| tests \||\|---\|---\|")


def existing_tests():
    found = set()
    for path in (glob.glob(os.path.join(HERE, "**/test_*.py"), recursive=True)
                 + glob.glob(os.path.join(HERE, "../proxies/test_*.py"))):
        with open(path) as file:
            tree = ast.parse(file.read(), path)
        found |= {"%s::%s" % (os.path.basename(path)[:-len(".py")], node.name) for node in tree.body
                  if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    for path in glob.glob(os.path.join(HERE, "../unit/**/test_*.c"), recursive=True):
        program = os.path.relpath(path, os.path.join(HERE, "../unit"))[:-len(".c")]
        with open(path) as file:
            found |= {"%s::%s" % (program, name)
                      for name in re.findall(r"^START_TEST\((\w+)\)", file.read(), re.M)}
    return found


def rows(name):
    """The rows of the table in the file `name`: {section: [(point, tests)]}."""
    table, points = {}, None
    with open(os.path.join(HERE, name)) as file:
        for line in file.read().splitlines():
            if line.startswith("## "):
                points = table.setdefault(line[3:], [])
            elif line.startswith("|") and points is not None and not HEADINGS.fullmatch(line):
                cells = [cell.strip() for cell in line.strip("|").split("|")]
                assert len(cells) == 2, line
                points.append(tuple(cells))
    return table


def check(name):
    """Every section has points, every point has tests (or a reason why there are none), and they exist."""
    existing, table = existing_tests(), rows(name)
    assert table and all(table.values())
    for section, points in table.items():
        for point, tests in points:
            if re.fullmatch(r"none: .{20,}", tests):
                continue
            assert tests.split(), "%s: %s has no test" % (section, point)
            for test in tests.split():
                assert test in existing, "%s: %s names %s, which does not exist" % (section, point, test)
