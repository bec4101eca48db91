"""The speed guard lets pass what is within the budget, in both directions, and nothing else."""
import json
import os
import subprocess
import sys

import fcgi
import pytest
from benchlib import guard

KEY = {"compiler": "GCC: 12", "flags": "-O2", "python": "3.11.2", "machine": "x86_64"}


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


@pytest.mark.parametrize("form,measured,words", [
    ("combined", 1160, None), ("json", 1330, None), ("json", 900, None),
    ("combined", 1161, "16.1 % more than the 1000 without it, and 16 % are allowed"),
    ("json", 1400, "40.0 % more than the 1000 without it, and 33 % are allowed"),
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
