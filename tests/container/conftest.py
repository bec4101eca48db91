"""Images, built from contrib/container by buildah, and containers: the namespaces that a runtime makes, without one."""
import ctypes
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PATIENCE = 60
CERTIFICATES = "/etc/ssl/certs"
NEW_NET = 0x40000000  # CLONE_NEWNET


def until(condition, what, log=lambda: ""):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited %d s for %s\n%s" % (PATIENCE, what, log())
        time.sleep(0.02)


class Store:
    """Where buildah keeps images: a directory of the tests' own. The base images are root file systems that
    mmdebstrap makes of Debian's packages, as the official ones are made, so that no registry is needed."""

    def __init__(self, directory):
        self.directory = directory
        self.environment = dict(os.environ, TMPDIR=str(directory))
        self.loaded = set()

    def buildah(self, *arguments, cwd=ROOT):
        command = ["buildah", "--root", str(self.directory / "root"), "--runroot", str(self.directory / "run"),
                   "--storage-driver", "vfs", *map(str, arguments)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd,
                              env=self.environment)
        assert done.returncode == 0, "%s\n%s" % (" ".join(command), done.stdout[-4000:])
        return done.stdout.strip() if arguments[0] == "inspect" else done.stdout.strip().rpartition("\n")[2]

    def load(self, name, archive):
        container = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", container, archive, "/")
        self.buildah("commit", "--quiet", container, name)
        self.buildah("rm", container)
        self.loaded.add(name)

    def build(self, name, containerfile, context, **arguments):
        words = ["--build-arg=%s=%s" % pair for pair in arguments.items()]
        # The authorities that this machine trusts: pip in a build asks no others.
        words.append("--volume=%s:/etc/ssl/certs:ro" % CERTIFICATES)
        self.buildah("bud", "--isolation", "chroot", "--network", "host", "--format", "docker", "--layers=false",
                     *words, "--tag", name, "--file", containerfile, context)


class Container:
    """One that runs: the image's command, user and environment, and nothing that the image does not say."""

    def __init__(self, image, command=None):
        self.config = image["config"]
        self.log_path = image["directory"] / "log"
        self.log_file = open(self.log_path, "w")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", sys.executable, str(HERE / "enter.py"),
             image["root"], self.config["User"], self.config["WorkingDir"], *self.config["Env"], "--",
             *(command or self.config["Cmd"])], stdout=self.log_file, stderr=self.log_file)
        self.pid = 0
        until(lambda: self.find() or self.process.poll() is not None, "the container to start", self.log)
        assert self.process.poll() is None, self.log()

    def find(self):
        """Process 1, as it is called outside."""
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as file:
            children = file.read().split()
        if children:
            self.pid = int(children[0])
        return self.pid

    def log(self):
        return self.log_path.read_text()

    def connect(self, port):
        """A socket belongs to the network of the thread that makes it."""
        made = []

        def make():
            try:
                with open("/proc/%d/ns/net" % self.pid) as network:
                    if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), NEW_NET):
                        raise OSError(ctypes.get_errno(), "setns")
                made.append(socket.create_connection(("127.0.0.1", port), PATIENCE))
            except OSError as error:
                made.append(error)
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]

    def client(self, port=8000):
        client = http.client.HTTPConnection("container")
        client.sock = self.connect(port)
        return client

    def get(self, path, body=None, port=8000):
        client = self.client(port)
        client.request("POST" if body else "GET", path, body)
        response = client.getresponse()
        content = response.read()
        client.close()
        return response.status, content

    def wait_ready(self):
        def answers():
            assert self.process.poll() is None, self.log()
            try:
                return self.get("/")[0] == 200
            except OSError:  # it has no network yet, or nobody listens
                return False
        until(answers, "the server to answer", self.log)

    def check_health(self):
        """What the image says for that, in the container. A runtime counts 0 as healthy."""
        test = self.config["Healthcheck"]["Test"]
        assert test[0] == "CMD", test
        uid, gid = self.config["User"].split(":")
        return subprocess.run(["nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--root", "--wd",
                               "--setuid", uid, "--setgid", gid, *test[1:]],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=dict(word.split("=", 1) for word in self.config["Env"]))

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self):
        return self.process.wait(PATIENCE)

    def kill(self):
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        self.log_file.close()


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("images"))


def debian(store, suite):
    """In the place of docker.io's debian:SUITE-slim, and of its name."""
    name = "docker.io/library/debian:%s-slim" % suite
    if name not in store.loaded:
        archive = store.directory / (suite + ".tar")
        given = os.environ.get("CONTAINER_DEBIAN")  # a directory of those that were made before
        if not given:
            subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates", suite, str(archive)],
                           check=True, env=store.environment)
        store.load(name, os.path.join(given, suite + ".tar") if given else archive)
    return name


def python(store, suite):
    """In the place of docker.io's python:3-slim, and of its name."""
    name = "docker.io/library/python:3-slim"
    store.build(name, HERE / "python/Containerfile", HERE / "python", DEBIAN=debian(store, suite))
    return name


# The images of contrib/container, and on what. What is not said is what they say themselves.
BASES = {
    "debian_12": ("debian", lambda store: {"DEBIAN": debian(store, "bookworm")}),
    "debian_13": ("debian", lambda store: {"DEBIAN": debian(store, "trixie")}),
    "python": ("python", lambda store: {"PYTHON": python(store, "bookworm")}),
}


class Image:
    """One of contrib/container, as "wsgi-fcgi". Whoever waits here does not wait for an optimiser."""

    def __init__(self, store, base):
        self.store, self.base = store, base
        self.recipe, arguments = BASES[base]
        containerfile = ROOT / "contrib/container" / ("Containerfile." + self.recipe)
        store.build("wsgi-fcgi", containerfile, ROOT, CFLAGS="-O0", **arguments(store))

    def application(self, containerfile, context):
        """What a container is started from: the image of an application on it."""
        self.store.build("application", containerfile, context)
        container = self.store.buildah("from", "--pull-never", "localhost/application")
        config = json.loads(self.store.buildah("inspect", "--type", "image", "localhost/application"))["Docker"]["config"]
        return {"config": config, "root": self.store.buildah("mount", container), "directory": self.store.directory}


@pytest.fixture(scope="session", params=BASES, ids=["on_" + name for name in BASES])
def base(request, store):
    return Image(store, request.param)


@pytest.fixture(scope="session")
def image(base):
    return base.application(HERE / "app/Containerfile", HERE / "app")


@pytest.fixture
def start(image):
    started = []

    def start(command=None):
        started.append(Container(image, command))
        started[-1].wait_ready()
        return started[-1]
    yield start
    for container in started:
        container.kill()
