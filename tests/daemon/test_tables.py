"""The tables beside this file say which test is there for what: each row names one, and each that is named exists."""
import glob
import os
import re

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDERS = [HERE, os.path.join(HERE, "..", "proxies"), os.path.join(HERE, "..", "unit")]
TABLES = sorted(glob.glob(os.path.join(HERE, "*.md")))


def exists(file, test):
    for folder in FOLDERS:
        path = os.path.join(folder, file)
        if os.path.exists(path):
            with open(path) as source:
                return re.search(r"^(def %s\(|START_TEST\(%s\))" % (test, test), source.read(), re.M) is not None
    return False


@pytest.mark.parametrize("path", TABLES, ids=os.path.basename)
def test_table(path):
    with open(path) as table:
        rows = [line for line in table if line.startswith("| ")]
    rows = [row for row in rows if not row.endswith("| tests |\n")]
    assert rows
    for row in rows:
        named = re.findall(r"`(test_\w+\.(?:py|c)):([\w, ]+)`", row)
        assert named, "no test in the row " + row
        for file, tests in named:
            for test in tests.split(","):
                assert exists(file, test.strip()), "%s has no %s" % (file, test.strip())
