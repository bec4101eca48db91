"""The application of the soak: every answer names its request and the process, and gives the body back.

What becomes of each request is noted in a file that outlives the process: it tells which were in their calls when one was
killed, and which were called twice.
"""

import mmap
import os
import time
from pathlib import Path

BROKEN = Path(os.environ["SOAK_DIRECTORY"], "broken")
if BROKEN.exists():
    BROKEN.with_suffix(".tried").touch()  # the soak waits for that
    raise RuntimeError("this application was broken on purpose")

BEGUN, ENDED, TWICE = 1, 2, 3  # also in benchlib/soak_servers.py
SLOW_SECONDS = 0.02
leaked = []

with open(Path(os.environ["SOAK_DIRECTORY"], "calls"), "r+b") as file:
    calls = mmap.mmap(file.fileno(), 0)


def begin(number):
    if number < len(calls):
        calls[number] = TWICE if calls[number] else BEGUN


def end(number):
    if number < len(calls) and calls[number] == BEGUN:
        calls[number] = ENDED


def application(environ, start_response):
    _, what, number = environ["PATH_INFO"].split("/")
    number = int(number)
    if what == "leak":
        leaked.append(b"x" * (number << 20))
    else:
        begin(number)
        if what == "slow":
            time.sleep(SLOW_SECONDS)
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = b"%d %d\n%b" % (number, os.getpid(), body)
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(answer)))])
    if what != "leak":
        end(number)
    return [answer]
