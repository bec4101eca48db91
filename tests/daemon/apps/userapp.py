"""As whom it runs: every answer is JSON. /write?PATH makes a file there; /back tries to be root again; /sleep never ends;
/read answers with the size of the body."""
import contextlib
import json
import os
import sys
import time


def status():
    with open("/proc/self/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file)


def describe():
    told = status()
    mask = os.umask(0)
    os.umask(mask)
    return {"uid": os.getresuid(), "gid": os.getresgid(), "groups": sorted(os.getgroups()), "umask": mask,
            "capabilities": [told[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")],
            "environ": dict(os.environ), "pid": os.getpid(), "cwd": os.getcwd(),
            "writes_bytecode": not sys.flags.dont_write_bytecode}


def write(path):
    with open(path, "w"):
        pass
    os.mkdir(path + ".d")
    return {}


def go_back():
    done = []
    for change in (os.setuid, os.seteuid, os.setgid, os.setegid):
        with contextlib.suppress(PermissionError):
            change(0)
            done.append(change.__name__)
    with contextlib.suppress(PermissionError):
        os.setgroups([0])
        done.append("setgroups")
    return done


def answer(environ):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/write":
        return write(query)
    if path == "/back":
        return go_back()
    if path == "/read":
        return len(environ["wsgi.input"].read())
    while path == "/sleep":
        time.sleep(60)
    return describe()


def application(environ, start_response):
    body = json.dumps(answer(environ)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
