"""As whom it runs: every answer is JSON. /write?PATH makes a file there."""
import json
import os


def status():
    with open("/proc/self/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file)


def describe():
    told = status()
    mask = os.umask(0)
    os.umask(mask)
    return {"uid": os.getresuid(), "gid": os.getresgid(), "groups": sorted(os.getgroups()), "umask": mask,
            "capabilities": [told[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")],
            "environ": dict(os.environ), "pid": os.getpid(), "cwd": os.getcwd()}


def write(path):
    with open(path, "w"):
        pass
    os.mkdir(path + ".d")
    return {}


def application(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    body = json.dumps(write(query) if path == "/write" else describe()).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
