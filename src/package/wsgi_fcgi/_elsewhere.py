"""This package in the Python of another virtual environment, which need not have it installed."""

import os
import sys

from wsgi_fcgi._command import command

MARK = "wsgi_fcgi_elsewhere"  # of a process that was executed for that


def execute(python, words):
    """Executes `python`, bytes, with the options that this one was given, to do what the command does with `words`.

    Does not return. OSError: it cannot be executed; RuntimeError: it was executed, and is none of that environment.
    """
    program = os.fsdecode(python)
    if MARK in sys._xoptions:
        raise RuntimeError("%s is not the Python of its virtual environment: sys.prefix is %s" % (program, sys.prefix))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(program, [program, "-X", MARK, *command()[1:], *words])
