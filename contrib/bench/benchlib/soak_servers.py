"""The servers of the soak, each told to replace its workers by itself as often as its options can, and the two proxies,
which keep connections and repeat nothing."""

import csv
import os
import signal
import socket
import subprocess
from dataclasses import dataclass

from . import peers
from .peers import SetupError

PATHS = ("nginx", "http", "haproxy")
MEMORY_LIMIT = 160  # MiB; the least that a worker of any of them has, twice
LEAK = 200  # MiB
WAITING = 16  # calls at a time that are slow: threads for these
BEGUN, ENDED, TWICE = 1, 2, 3  # in the file of calls, as soak_app.py has it
STOP_SECONDS = 10


@dataclass(frozen=True)
class Limits:
    """When a worker is to be replaced: after so many requests, and above so many MiB; 0: never."""

    requests: int = 0
    jitter: int = 0
    memory: int = 0

    def options(self, requests=(), jitter=(), memory=()):
        """The words of each that is set, with its value behind the last one."""
        parts = ((requests, self.requests), (jitter, self.requests and self.jitter), (memory, self.memory))
        return [word for words, value in parts if words and value for word in (*words, str(value))]


class WsgiFcgi(peers.WsgiFcgi):
    links = {"nginx": ("fastcgi", "unix"), "http": ("http", "tcp"), "haproxy": ("fastcgi", "unix")}
    can = {"reload", "retirement", "memory"}
    preload = False

    def __init__(self, tools, limits):
        peers.Peer.__init__(self, tools)
        self.limits = limits

    def command(self, place, need, directory):
        memory = ["--max-memory", f"{self.limits.memory}M"] if self.limits.memory else []
        more = ["--workers", str(self.tools.processes), *(["--preload"] if self.preload else [])]
        *command, application = super().command(place, need, directory)
        return [*command, *more, *self.limits.options(["--max-requests"], ["--max-requests-jitter"]), *memory, application]


class WsgiFcgiPreload(WsgiFcgi):
    name = "wsgi-fcgi-preload"
    preload = True


class Gunicorn(peers.GunicornThreads):
    links = {path: ("http", "tcp") for path in PATHS}
    can = {"reload", "retirement"}

    def __init__(self, tools, limits):
        super().__init__(tools)
        self.limits = limits

    def command(self, place, need, directory):
        limits = self.limits.options(["--max-requests"], ["--max-requests-jitter"])
        return [*super().command(place, need, directory), *limits, "--graceful-timeout", "30"]


class Uwsgi(peers.Uwsgi):
    """A worker that is younger than --min-worker-lifetime is not replaced."""

    links = {"nginx": ("uwsgi", "unix"), "http": ("http", "tcp"), "haproxy": ("http", "tcp")}
    can = {"reload", "retirement", "memory"}

    def __init__(self, tools, limits):
        super().__init__(tools)
        self.limits = limits

    def command(self, place, need, directory):
        limits = self.limits.options(["--min-worker-lifetime", "1", "--max-requests"], ["--max-requests-delta"], ["--reload-on-rss"])
        return [*super().command(place, need, directory), *limits]


class Granian(peers.Granian):
    """It counts no requests: a worker may have a lifetime, of a minute at least."""

    links = {path: ("http", "tcp") for path in PATHS}
    can = {"reload", "memory"}

    def __init__(self, tools, limits):
        super().__init__(tools)
        self.limits = limits

    def command(self, place, need, directory):
        *command, application = super().command(place, need, directory)
        limits = self.limits.options(memory=["--rss-sample-interval", "1", "--workers-max-rss"])
        return [*command, *limits, "--respawn-failed-workers", application]


SERVERS = {kind.name: kind for kind in (WsgiFcgi, WsgiFcgiPreload, Gunicorn, Uwsgi, Granian)}
OURS = (WsgiFcgi.name, WsgiFcgiPreload.name)


# --- proxies

NGINX = """\
{user}
worker_processes 2;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log warn;
events {{ worker_connections 8192; }}
http {{
    map $upstream_addr $repeated {{ default 0; "~," 1; }}
    log_format repeated '$request $status $upstream_addr $upstream_status';
    access_log {directory}/repeated.log repeated if=$repeated;
    client_body_temp_path {directory}/nginx-body;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    proxy_temp_path {directory}/nginx-proxy;
    scgi_temp_path {directory}/nginx-scgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    client_max_body_size 0;
    client_body_buffer_size 128k;
    keepalive_requests 1000000000;
    upstream app {{ server {address} max_fails=0; {keepalive} }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
{link}
        }}
    }}
}}
"""
NGINX_LINKS = {
    "fastcgi": """\
            include /etc/nginx/fastcgi_params;
            fastcgi_pass app;
            fastcgi_keep_conn on;
            fastcgi_next_upstream off;""",
    "uwsgi": """\
            include /etc/nginx/uwsgi_params;
            uwsgi_pass app;
            uwsgi_next_upstream off;""",
    "http": """\
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_next_upstream off;""",
}
KEEPALIVE = "keepalive 128; keepalive_requests 1000000000; keepalive_timeout 3600s;"


class Nginx:
    program = "/usr/sbin/nginx"

    def __init__(self, directory, peer, place, port):
        self.directory = directory
        address = f"unix:{place.socket}" if place.socket else place.address
        text = NGINX.format(user="user root;" if os.getuid() == 0 else "", directory=directory, address=address, port=port,
                            link=NGINX_LINKS[place.protocol], keepalive=KEEPALIVE if peer.keeps(place.protocol) else "")  # fmt: skip
        (directory / "nginx.conf").write_text(text)
        self.process = launch([self.program, "-c", str(directory / "nginx.conf"), "-e", str(directory / "nginx.log")])

    def lines(self, name):
        path = self.directory / name
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def stop(self):
        end(self.process, signal.SIGTERM)

    def faults(self):
        """Requests that were sent again, and what its log says against the server."""
        log = self.lines("nginx.log")
        return {"repeated": len(self.lines("repeated.log")), "errors": len(log), "sample": log[:3]}


HAPROXY = """\
global
    nbthread 2
    maxconn 4096
    stats socket {directory}/haproxy.sock level admin

defaults
    mode http
    timeout connect 30s
    timeout client 60s
    timeout server 60s
    retries 0
    no option redispatch

frontend web
    bind 127.0.0.1:{port} backlog 1024
    default_backend app

backend app
    http-reuse always
{link}
"""
HAPROXY_LINKS = {
    "fastcgi": """\
    use-fcgi-app app
    server app unix@{address} proto fcgi pool-purge-delay 1h

fcgi-app app
    docroot /srv/app
    option keep-conn""",
    "http": "    server app {address} pool-purge-delay 1h",
}


class Haproxy:
    program = "/usr/sbin/haproxy"

    def __init__(self, directory, peer, place, port):
        self.directory = directory
        link = HAPROXY_LINKS[place.protocol].format(address=place.address)
        (directory / "haproxy.cfg").write_text(HAPROXY.format(directory=directory, port=port, link=link))
        self.process = launch([self.program, "-db", "-f", str(directory / "haproxy.cfg")])
        self.found = {"repeated": None, "errors": None, "sample": ["HAProxy was not asked"]}

    def stop(self):
        try:
            self.found = haproxy_faults(ask_haproxy(self.directory / "haproxy.sock"))
        except OSError as error:
            self.found["sample"] = [f"HAProxy did not say: {error}"]
        end(self.process, signal.SIGTERM)

    def faults(self):
        return self.found


def ask_haproxy(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(path))
        s.sendall(b"show stat\n")
        return b"".join(iter(lambda: s.recv(65536), b"")).decode()


def haproxy_faults(text):
    """Of its statistics: retries and redispatches, and errors of connections and of answers, of the server itself."""
    for row in csv.DictReader(text.lstrip("# ").splitlines()):
        if (row["pxname"], row["svname"]) == ("app", "app"):
            numbers = {key: int(row[key] or 0) for key in ("wretr", "wredis", "econ", "eresp")}
            return {"repeated": numbers["wretr"] + numbers["wredis"], "errors": numbers["econ"] + numbers["eresp"],
                    "sample": [f"{key}: {value}" for key, value in numbers.items() if value]}  # fmt: skip
    raise OSError("its statistics have no server of this name")


FRONTS = {"nginx": Nginx, "haproxy": Haproxy}


def launch(command):
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise SetupError(f"cannot start {command[0]}: {error.strerror}") from error


def end(process, number):
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
