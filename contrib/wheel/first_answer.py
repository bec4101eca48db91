"""Does what somebody does who has got a wheel and wants to see an application in a browser: two commands.

usage: first_answer.py PYTHON WHEEL
PYTHON makes the empty virtual environment, which is not counted. Says in a line how long each command took up to what
it is for; there is no limit to compare it with, since machines differ. Ends with status 1 when there is no answer.
"""
import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

APP = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello, world\\n"]
"""
# What takes longer hangs.
PATIENCE = 300


class Failed(Exception):
    """What there was in place of an answer."""


def environment():
    """That of somebody who has set nothing for Python, pip's own settings apart, or for the server."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "WSGI_FCGI_")) and name != "VIRTUAL_ENV"}


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, env=environment(), **more)
    if done.returncode:
        raise Failed("%s ended with status %d\n%s" % (" ".join(map(str, command)), done.returncode, done.stdout))


def ask(port):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    client.request("GET", "/")
    response = client.getresponse()
    body = response.read()
    client.close()
    if (response.status, body) != (200, b"Hello, world\n"):
        raise Failed("the answer is %d %r" % (response.status, body))


def serve(command, home):
    """Until the first answer. The log says at which port it listens, which is one that was free."""
    server = subprocess.Popen([str(word) for word in command], cwd=home, env=environment(), text=True,
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    watch = threading.Timer(PATIENCE, server.kill)
    watch.start()
    said = []
    try:
        for line in server.stderr:
            said.append(line)
            port = re.search(r"listening on .*127\.0\.0\.1:(\d+)", line)
            if port:
                ask(int(port[1]))
                answered = time.monotonic()
                server.send_signal(signal.SIGTERM)
                said += server.stderr.readlines()
                if server.wait():
                    raise Failed("the server ended with status %d\n%s" % (server.returncode, "".join(said)))
                return answered
        raise Failed("the server does not listen\n" + "".join(said))
    finally:
        watch.cancel()
        server.kill()
        server.wait()


def main():
    if len(sys.argv) != 3:
        sys.exit(next(line for line in __doc__.splitlines() if line.startswith("usage: ")))
    python, wheel = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="wsgi-fcgi-") as directory:
        home = Path(directory)
        venv = home / "venv"
        (home / "app.py").write_text(APP, encoding="utf-8")
        try:
            run(python, "-m", "venv", venv)
            commands = [[venv / "bin/pip", "install", os.path.abspath(wheel)],
                        [venv / "bin/wsgi-fcgi", "--http", "0", "app:app"]]
            began = time.monotonic()
            run(*commands[0])
            installed = time.monotonic()
            answered = serve(commands[1], home)
        except (Failed, OSError, subprocess.TimeoutExpired) as error:
            sys.exit("first_answer: %s: %s" % (os.path.basename(wheel), error))
    tag = os.path.basename(wheel).split("-")[3]
    print("%-8s %d commands, %4.1f s: pip install %.1f s, wsgi-fcgi --http %.1f s" % (
        tag, len(commands), answered - began, installed - began, answered - installed))


if __name__ == "__main__":
    main()
