"""What test_stack_torture.c runs, a thread for each function that it names, and how it checks the stacks that it finds."""

import asyncio
import gc
import importlib
import re
import sys
import threading
import time
import types


def leaf(n):
    return n + 1


def middle(n):
    return leaf(n) + leaf(n)


def calls():
    while True:
        for n in range(1000):
            middle(n)


def thrower(n):
    if n:
        thrower(n - 1)
    raise KeyError(n)


def raises():
    while True:
        try:
            thrower(5)
        except KeyError:
            leaf(1)
        finally:
            leaf(2)


def inner_items(n):
    for i in range(n):
        yield leaf(i)


def items(n):
    yield from inner_items(n)


def generators():
    while True:
        sum(i for i in items(50))
        sorted(range(20), key=leaf)
        partly = items(50)
        next(partly)
        del partly


class Cycle:
    def __init__(self):
        self.me = self

    def __del__(self):
        leaf(3)


def finalizers():
    while True:
        for _ in range(100):
            Cycle()
        gc.collect(0)


def deep(n):
    return deep(n - 1) + 1 if n else leaf(n)


def recursion():
    while True:
        deep(150)


FRESH = """
def fresh_{0}(n):
    if n:

        fresh_{0}(n - 1)
    return n
fresh_{0}(3)
"""


def fresh():
    number = 0
    while True:
        number += 1
        exec(compile(FRESH.format(number % 1000), "<fresh>", "exec"), {})


async def awaited(n):
    await asyncio.sleep(0)
    return leaf(n)


async def gathers():
    await asyncio.gather(*(awaited(n) for n in range(10)))


def coroutines():
    while True:
        asyncio.run(gathers())


def imports():
    import colorsys

    while True:
        importlib.reload(colorsys)
        thread = threading.Thread(target=middle, args=(1,))
        thread.start()
        thread.join()


def sleeps():
    while True:
        time.sleep(0.0001)
        leaf(4)


# Which functions call these; those that finalize may be called by any.
CALLERS = {
    "middle": {"calls", "Thread.run"},
    "thrower": {"raises", "thrower"},
    "inner_items": {"items", "generators"},  # which closes it
    "items": {"generators", "generators.<locals>.<genexpr>"},
    "generators.<locals>.<genexpr>": {"generators"},
    "deep": {"recursion", "deep"},
    "Cycle.__init__": {"finalizers"},
    "awaited": {"Handle._run", "gathers.<locals>.<genexpr>"},
    "gathers": {"Handle._run", "coroutines"},
    "gathers.<locals>.<genexpr>": {"gathers"},
}
ROOTS = {"calls", "raises", "generators", "finalizers", "recursion", "fresh", "coroutines", "imports", "sleeps"}
ENTRY = re.compile(r'  File "(.*)", line (\d+|\?), in (.*)')
REPEATED = re.compile(r"  \[Previous line repeated \d+ more times?\]|  \.\.\. \d+ frames? left out")


def find(code, found):
    """Adds {(file, qualified name): [lines]} of a code object and those within it."""
    lines = {line for _, _, line in code.co_lines() if line} | {code.co_firstlineno}
    found.setdefault((code.co_filename, code.co_qualname), set()).update(lines)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            find(const, found)
    return found


with open(__file__, encoding="utf-8") as file:
    known = find(compile(file.read(), __file__, "exec"), {})
read = {__file__}


def read_file(name):
    """Learns what functions a file of Python's library has."""
    read.add(name)
    module = re.fullmatch("<frozen (.*)>", name)
    if module:
        # The functions of the module; its classes have others, which are passed over.
        for value in vars(sys.modules[module[1]]).values():
            if isinstance(value, types.FunctionType):
                find(value.__code__, known)
    elif not name.startswith("<"):
        with open(name, encoding="utf-8") as lines:
            find(compile(lines.read(), name, "exec", dont_inherit=True), known)


def check_entry(name, line, function, caller):
    if name == "<fresh>":
        line = 2 if line == "?" else int(line)
        if function == "<module>":
            return line in (1, 2, 7) and caller == "fresh"
        return re.fullmatch(r"fresh_\d+", function) and line in (2, 3, 5, 6) and caller in (function, "<module>")
    if name not in read:
        read_file(name)
    lines = known.get((name, function))
    if lines is None:
        return name.startswith("<")  # a class of a frozen module, a named tuple
    return (line == "?" or int(line) in lines) and (name != __file__ or caller in CALLERS.get(function, {caller}))


def check(text):
    """Returns what is wrong with a stack, or None."""
    lines = text.splitlines()
    if lines[0] not in ('  File "/srv/begin.py", line 3, in <module>', '  File "/srv/begin.py", line 2, in <module>'):
        return "its beginning"
    caller = None
    for number, text in enumerate(lines[1:]):
        if REPEATED.fullmatch(text):
            continue
        entry = ENTRY.fullmatch(text)
        if not entry or not check_entry(*entry.groups(), caller):
            return text
        if number == 0 and entry[3] not in ROOTS:
            return text
        caller = entry[3]
    return None
