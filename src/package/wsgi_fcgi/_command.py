"""How an interpreter runs this package as this process does: for workers, for a reload (src/process/supervise.h)."""

import os
import sys

ENDS = "cm"  # what comes behind them is for the program
TAKE_VALUE = "WX"
LEFT_OUT = "ix"  # no session at the end, and no first line that is not Python's


def options(words):
    """Those of Python itself, among the words of its command line behind the first one."""
    found, words = [], iter(words)
    for word in words:
        if word == "--check-hash-based-pycs":
            found += [word, next(words)]
            continue
        if word[:1] != "-" or word in ("-", "--"):
            break
        for at, letter in enumerate(word[1:], 1):
            if letter in ENDS:
                return found
            if letter in TAKE_VALUE:
                found += ["-" + letter, word[at + 1:] or next(words)]
                break
            if letter not in LEFT_OUT:
                found.append("-" + letter)
    return found


def command():
    """The words: this interpreter by the path that has its environment, its options, and a file of this package. No
    search for a module by its name, which the current directory or another environment could answer. Links stay, so
    that whoever follows one anew finds what it leads to then."""
    here = os.path.dirname(os.path.abspath(__file__))
    return [sys.executable, *options(sys.orig_argv[1:]), os.path.join(here, "__main__.py")]
