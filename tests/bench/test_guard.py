"""The speed guard lets pass what is within the budget, in both directions, and nothing else."""
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys

import fcgi
import pytest
from benchlib import guard

KEY = {"form": "program", "compiler": "GCC: 12", "flags": "-O2", "python": "3.11.2", "machine": "x86_64"}


@pytest.mark.parametrize("measured,words", [
    (1000, None), (1030, None), (970, None),
    (1031, "3.1 % more than the budget of 1000"), (969, "3.1 % less than the budget of 1000"), (500, "record the gain"),
])  # fmt: skip
def test_instructions(measured, words):
    said = guard.judge_instructions(measured, 1000)
    assert said is None if words is None else words in said


@pytest.mark.parametrize("measured,recorded,words", [
    (0, 0, None), (0.01, 0, None), (0.02, 0, "allocates what it did not"), (1, 2, "record the gain"), (2, 2, None),
])  # fmt: skip
def test_allocations(measured, recorded, words):
    said = guard.judge_allocations(measured, recorded)
    assert said is None if words is None else words in said


@pytest.mark.parametrize("measured,words", [(1030, None), (500, None), (1031, "3.1 % more than the 1000 without them")])
def test_after_strangers(measured, words):
    said = guard.judge_after_strangers(measured, 1000)
    assert said is None if words is None else words in said


@pytest.mark.parametrize("measured,words", [(1010, None), (900, None), (1011, "1.1 % more than the 1000 without it")])
def test_with_a_deadline(measured, words):
    said = guard.judge_deadline(measured, 1000)
    assert said is None if words is None else words in said


@pytest.mark.parametrize("measured,words", [
    (1010, None), (900, None), (1011, "1.1 % more than the 1000 of the other build, and 1 % is allowed"),
])  # fmt: skip
def test_against_another_build(measured, words):
    said = guard.judge_against(measured, 1000)
    assert said is None if words is None else words in said


@pytest.mark.parametrize("measured,is_less", [(989, True), (990, False), (1000, False)])
def test_one_count_may_do(measured, is_less):
    assert guard.is_clearly_less(measured, 1000) == is_less


@pytest.mark.parametrize("measured,is_good", [(0, True), (1, True), (1.01, True), (1.02, False)])
def test_allocations_against_another_build(measured, is_good):
    assert (guard.judge_allocations_against(measured, 1) is None) == is_good


def test_builds_that_differ_otherwise_are_not_compared():
    guard.compare({**KEY, "form": "module"}, KEY)
    with pytest.raises(guard.GuardError, match="different flags.*: -O3, and -O2"):
        guard.compare({**KEY, "flags": "-O3"}, KEY)


def test_a_module_is_known_by_its_code(tmp_path):
    """Its command is a script, in which no compiler has left its name; and it says where its Python is."""
    command = tmp_path / "wsgi-fcgi"
    command.write_text("#!/bin/sh\nprintf '%s\\n' 'wsgi-fcgi 0' 'Python 3.11.2 free-threaded, GIL on (/a (b)/python3)' "
                       "'build options: none'\n")
    command.chmod(0o755)
    (tmp_path / "wsgi_fcgi").mkdir()
    shutil.copy(os.environ["FCGI_LOAD"], tmp_path / "wsgi_fcgi" / "_server.cpython-311.so")
    key = guard.identify(tmp_path)
    assert (key["form"], key["python"]) == ("module", "3.11.2 free-threaded, GIL on")
    assert re.match("GCC|.*clang", key["compiler"])


@pytest.fixture
def speed_guard():
    """The command, as a module."""
    loader = importlib.machinery.SourceFileLoader("speed_guard", str(guard.BENCH / "speed-guard"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("speed_guard", loader))
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("module,program,allocated,counts,status", [
    ([900], [1000], 0, (1, 1), 0),
    ([1000], [1000], 0, (2, 5), 0),
    ([1030, 1010], [1010, 1000], 0, (2, 5), 0),
    ([1020], [1020, 1000], 0, (6, 5), 1),
    ([900], [1000], 1, (1, 1), 1),
])  # fmt: skip
def test_module_against_program(speed_guard, monkeypatch, tmp_path, module, program, allocated, counts, status):
    """Of each, what is counted one after the other, the last time and again: the least of it is what counts."""
    asked = {"module": [], "program": []}

    def instructions(build, directory, mode):
        values = module if build.name == "module" else program
        asked[build.name].append(mode)
        return values[min(asked[build.name].count(mode), len(values)) - 1]

    monkeypatch.setattr(guard, "instructions", instructions)
    monkeypatch.setattr(guard, "allocations", lambda build, *more: {"own": allocated * (build.name == "module"), "libev": 0})
    monkeypatch.setattr(guard, "identify", lambda build: {**KEY, "form": build.name})
    assert speed_guard.guard_against(tmp_path / "module", tmp_path, tmp_path / "program") == status
    for mode in guard.MODES:
        assert (asked["module"].count(mode), asked["program"].count(mode)) == counts


@pytest.mark.parametrize("more", ["--record", "--require"])
def test_another_build_has_no_record(more):
    done = subprocess.run([sys.executable, guard.BENCH / "speed-guard", "--against", "x", more], text=True,
                          stderr=subprocess.PIPE, timeout=fcgi.PATIENCE)
    assert done.returncode == 2 and "leave --record and --require out" in done.stderr


@pytest.mark.parametrize("form,measured,words", [
    ("combined", 1130, None), ("json", 1240, None), ("json", 900, None),
    ("combined", 1131, "13.1 % more than the 1000 without it, and 13 % are allowed"),
    ("json", 1400, "40.0 % more than the 1000 without it, and 24 % are allowed"),
])  # fmt: skip
def test_with_an_access_log(form, measured, words):
    said = guard.judge_access_log(measured, 1000, form)
    assert said is None if words is None else words in said


def test_count_is_the_difference_of_two_runs():
    """Start-up, 5,000 here, is in both and so in neither."""
    asked = []

    def total(count):
        asked.append(count)
        return 5000 + 12 * count

    assert guard.difference(total, 100) == 12
    assert sorted(asked) == [100, 200]


def test_record_is_found_by_its_key_only(tmp_path):
    path = tmp_path / "budget.json"
    guard.save_record(KEY, {"kept": 100.4}, {"kept": {"own": 0.0, "libev": 0.001, "libpython": 5, "other": 1}}, path)
    guard.save_record({**KEY, "python": "3.13"}, {"kept": 90}, {"kept": {"own": 1, "libev": 0}}, path)
    records = guard.load_budget(path)
    assert len(records) == 2
    assert guard.find_record(records, KEY) == {**KEY, "instructions": {"kept": 100}, "allocations": {"kept": 0.0}}
    assert guard.find_record(records, {**KEY, "compiler": "clang"}) is None
    assert guard.find_record(records, {**KEY, "form": "module"}) is None
    assert guard.find_record(records, {**KEY, "flags": "-O3"}) is None
    guard.save_record(KEY, {"kept": 50}, {"kept": {"own": 0, "libev": 0}}, path)
    assert len(guard.load_budget(path)) == 2
    assert guard.find_record(guard.load_budget(path), KEY)["instructions"] == {"kept": 50}


def test_the_trees_budget_is_complete():
    records = guard.load_budget()
    assert records
    for record in records:
        assert set(record) == {*guard.KEY, "instructions", "allocations"}
        assert set(record["instructions"]) == set(record["allocations"]) == set(guard.MODES)


ALLOCATING = """
import ctypes, sys
malloc = ctypes.CDLL(None).malloc
malloc.restype = ctypes.c_void_p
for _ in range(int(sys.argv[1])):
    malloc(10)
"""


def test_allocations_are_seen(tmp_path):
    """By the library, in a program that makes so many; from the difference, as the guard takes it."""
    library = os.path.join(os.path.dirname(os.environ["FCGI_LOAD"]), "malloc-count.so")
    out = tmp_path / "out"

    def total(count):
        subprocess.run([sys.executable, "-c", ALLOCATING, str(count)], check=True, timeout=fcgi.PATIENCE,
                       env={"LD_PRELOAD": library, "MALLOC_COUNT_FILE": str(out), "PYTHONHASHSEED": "0"})
        return sum(json.loads(out.read_text()).values())

    assert guard.difference(total, 10000) == pytest.approx(1, abs=0.05)
