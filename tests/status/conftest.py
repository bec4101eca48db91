"""Looks at the forms of the status as their readers do: parsers, promtool, a browser. `render` makes them of memory that is
made up (render.c)."""
import collections
import os
import subprocess

import pytest

RENDER = os.environ["STATUS_RENDER"]
Answer = collections.namedtuple("Answer", "type headers text")


def run_render(scene, accept="", query=""):
    done = subprocess.run([RENDER, scene, accept, query], capture_output=True, check=True)
    head, _, text = done.stdout.partition(b"\r\n\n")
    kind, _, fields = head.partition(b"\n")
    headers = dict(line.split(": ", 1) for line in fields.decode().split("\r\n") if line)
    return Answer(kind.decode(), headers, text.decode("utf-8", "strict"))


@pytest.fixture
def render():
    return run_render
