"""An interpreter's file that starts the supervisor, and workers, as one that has the server as a module does
(process/supervise.h).

Run by an interpreter with -B and the options of the server. LAUNCHER_PROGRAM: what a worker is. LAUNCHER_SUPERVISOR:
the file of the supervisor; LAUNCHER_CHECK: that of one which checks whether a reload can go on.
"""
import os
import sys

arguments = sys.argv[1:]
if "WSGI_FCGI_CONTROL" in os.environ:
    role, program, words = "worker", os.environ["LAUNCHER_PROGRAM"], []
else:
    check = "WSGI_FCGI_STATE" in os.environ
    role, program = ("check", os.environ["LAUNCHER_CHECK"]) if check else ("first", os.environ["LAUNCHER_SUPERVISOR"])
    words = ["-B", os.path.abspath(__file__)]
    os.environ["WSGI_FCGI_PROGRAM"] = sys.executable
    os.environ["WSGI_FCGI_PROGRAM_WORDS"] = str(len(words))
print("launched as %s: %r" % (role, sys.orig_argv), file=sys.stderr, flush=True)
os.execv(program, ["a-name", *words, *arguments])
