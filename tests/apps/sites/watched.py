"""A handler that debuggers, profilers and coverage.py watch, with the tool that WATCH names."""
import os
import sys
import threading

WATCH = os.environ.get("WATCH")
OUT = os.environ.get("OUT")

if WATCH == "coverage":
    import coverage
    recording = coverage.Coverage(data_file=os.path.join(OUT, "data"), include=[os.path.join(os.path.dirname(__file__), "handled.py")])
    recording.start()
elif WATCH == "profile":
    import cProfile
    import pstats
    profiles = []

    def begin(frame, event, arg):
        """As the documentation of threading.setprofile() has it: the thread's own profiler takes over."""
        sys.setprofile(None)
        profile = cProfile.Profile()
        profiles.append(profile)
        profile.enable()
    threading.setprofile(begin)
elif WATCH == "debugpy":
    import debugpy
    debugpy.configure(python=os.path.join(sys.prefix, "bin", "python"))
    host, port = debugpy.listen(("127.0.0.1", 0))
    with open(os.path.join(OUT, "new"), "w") as file:
        file.write(str(port))
    os.rename(os.path.join(OUT, "new"), os.path.join(OUT, "port"))

import handled  # noqa: E402


def told():
    """What the tool has seen of the handler."""
    if WATCH == "coverage":
        recording.stop()
        name, statements, excluded, missing, text = recording.analysis2(handled)
        recording.start()
        return "%d missing: %s" % (len(missing), missing)
    found = 0
    for profile in profiles:
        profile.create_stats()
        for (path, line, name), numbers in pstats.Stats(profile).stats.items():
            found += numbers[1] if path == handled.__file__ and name == "total" else 0
    return "%d calls" % found


def app(environ, start_response):
    body = told() if environ["PATH_INFO"] == "/told" else handled.handle(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
