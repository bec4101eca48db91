"""An application in a container: as process 1 and nobody's user, with a root file system that cannot be written."""
import pathlib
import re
import signal
import threading

import pytest

from conftest import HERE, until


def test_the_application_has_three_lines():
    lines = (HERE / "app/Containerfile").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["FROM", "COPY", "CMD"]


def test_what_the_image_says(image):
    config = image["config"]
    uid, gid = config["User"].split(":")
    assert uid.isdigit() and int(uid) > 0 and gid.isdigit() and int(gid) > 0, "runAsNonRoot takes numbers alone"
    assert config["Cmd"][0] == "wsgi-fcgi" and not config.get("Entrypoint"), "no shell"
    assert config["Healthcheck"]["Test"][0] == "CMD", "no shell"
    assert config["StopSignal"] == "SIGTERM"
    assert config["ExposedPorts"] == {"8000/tcp": {}}


def test_it_serves(start):
    """Nothing in the log is wrong: no directory is missing, and nothing wants to be written elsewhere than to /tmp."""
    container = start()
    uid, gid = container.config["User"].split(":")
    assert container.get("/identity") == (200, ("%s %s []\n" % (uid, gid)).encode())
    large = b"x" * (3 << 20)  # beyond --body-memory, so it goes to a file
    assert container.get("/length", large) == (200, b"%d\n" % len(large))
    assert not re.search(r" (warning|error): ", container.log()), container.log()
    with open("/proc/%d/mounts" % container.pid) as mounts:
        assert [line.split()[3].split(",")[0] for line in mounts if line.split()[1] == "/"][-1] == "ro"
    with open("/proc/%d/status" % container.pid) as status:
        assert re.search(r"^NSpid:\t\d+\t1$", status.read(), re.M)


def test_traces_can_be_sent(start):
    """The start fails without libcurl, which no program names to the dynamic linker."""
    container = start(["wsgi-fcgi", "--http", ":8000", "--otlp", "http://127.0.0.1:4318", "app:app"])
    assert container.get("/identity")[0] == 200


def test_terms_of_what_it_contains(image):
    """Other people's libraries, which are a part of the programs, and the server's own."""
    root = pathlib.Path(image["root"])
    folders = [root / "usr/share/doc/wsgi-fcgi", *root.glob("usr/local/lib/python3*/site-packages/wsgi_fcgi-*/licenses")]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    found = {path.name: path.read_text(encoding="utf-8") for path in paths}
    assert "LICENSE" in found
    for library in ("libev", "libfcgi", "libinih", "llhttp"):
        assert [name for name, text in found.items() if library in name and "copyright" in text.lower()], library


def test_orphans_are_reaped(start):
    container = start()
    for _ in range(5):
        assert container.get("/orphan") == (200, b"made\n")

    def processes():
        with open("/proc/%d/task/%d/children" % (container.pid, container.pid)) as file:
            return file.read().split()
    until(lambda: len(processes()) == 1, "process 1 to have its one child left", container.log)


def test_health(start):
    container = start()
    done = container.check_health()
    assert (done.returncode, done.stdout) == (0, "ok\n"), done


def test_health_when_all_threads_hang(start):
    """It takes the ten seconds after which a call counts as stuck."""
    container = start()
    hanging = [container.client() for _ in range(2)]
    for client in hanging:
        client.request("GET", "/hang")
    until(lambda: container.check_health().returncode, "the check to fail", container.log)
    done = container.check_health()
    assert done.returncode == 1 and done.stdout.startswith("not fit: worker 0: all threads (2)"), done
    container.kill()


@pytest.mark.parametrize("delay", ["0", "2"])
def test_a_stop_under_load(start, delay):
    """Whoever had connected is answered. With --stop-delay, kept connections as well: they end with an answer."""
    container = start(["wsgi-fcgi", "--http", ":8000", "--stop-delay", delay, "app:app"])
    counts, lock = {"answered": 0, "cut": 0}, threading.Lock()

    def ask_on():
        while True:
            try:
                client = container.client()
            except (ConnectionRefusedError, FileNotFoundError):  # nobody listens; or the container has ended
                return
            with lock:
                counts["cut"] += 1  # until it is answered
            client.request("GET", "/slow")
            good = client.getresponse().read() == b"slow\n"
            client.close()
            with lock:
                counts["cut"] -= good
                counts["answered"] += good
    clients = [threading.Thread(target=ask_on) for _ in range(8)]
    for client in clients:
        client.start()
    until(lambda: counts["answered"] > 50, "the load", container.log)
    container.signal(signal.SIGTERM)
    assert container.wait() == 0, container.log()
    for client in clients:
        client.join()
    assert counts["cut"] == 0, (counts, container.log())
    assert re.search(r"stopped after [0-9.]+ s: \d+ requests? finished, 0 cut off", container.log())
