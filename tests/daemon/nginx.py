"""A private nginx before one or more servers, and an HTTP client for it."""
import http.client
import os
import re
import shutil
import socket
import subprocess
import tempfile

from daemon import until
from fcgi import PATIENCE
from ports import free_port

EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "contrib", "proxies", "nginx.conf")


def example_map():
    """The map of contrib/proxies/nginx.conf that defines $host_and_port."""
    with open(EXAMPLE) as file:
        return re.search(r"^map .*?^}$", file.read(), re.MULTILINE | re.DOTALL)[0]


CONFIG = """\
{user}
worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    fastcgi_temp_path {dir}/fastcgi;
    proxy_temp_path {dir}/proxy;
    scgi_temp_path {dir}/scgi;
    uwsgi_temp_path {dir}/uwsgi;
    client_max_body_size 0;
{maps}
{servers}
}}
"""

# Word for word what a user of Debian's nginx writes.
PLAIN = """\
    server {{
        listen 127.0.0.1:{port};
        location {location} {{
            include /etc/nginx/fastcgi_params;
            fastcgi_pass unix:{socket};{more}
        }}
    }}
"""

KEPT = """\
    upstream {name} {{
        server unix:{socket};
        keepalive 4;
    }}
    server {{
        listen 127.0.0.1:{port};
        location {location} {{
            include /etc/nginx/fastcgi_params;
            fastcgi_pass {name};
            fastcgi_keep_conn on;{more}
        }}
    }}
"""


# Kept connections to a server of HTTP/1.1, which learns from the proxy who the client is.
PROXY = """\
    upstream {name} {{
        server {socket};
        keepalive 4;
    }}
    server {{
        listen 127.0.0.1:{port};
        location {location} {{
            proxy_pass http://{name};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Prefix "";
            {more}
        }}
    }}
"""

TEMPLATES = {False: PLAIN, True: KEPT, "proxy": PROXY}


class NoResponse:
    """The connection ended without a byte."""
    status, headers, body, complete = None, [], b"", False

    def __repr__(self):
        return "<no response>"


class HTTPResponse:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.getheaders()
        self.complete = True
        try:
            self.body = response.read()
        except http.client.IncompleteRead as error:
            self.body = error.partial
            self.complete = False

    def __repr__(self):
        return "<HTTPResponse %d %r %r complete=%r>" % (self.status, self.headers, self.body[:2000], self.complete)


class Nginx:
    """`backends` maps a name to (socket, how, location): `how` is whether FastCGI connections are kept, or "proxy".
    `more` are directives for each location."""

    def __init__(self, backends, more=""):
        assert shutil.which("nginx"), "nginx is not installed: apt-get install nginx"
        self.backends, self.more = backends, more
        self.ports = {}
        self.dir = tempfile.mkdtemp(prefix="wsgi-fcgi-nginx.")
        for attempt in range(5):
            self._spawn()
            try:
                until(self._answers, "nginx to listen", self.log)
                return
            except ChildProcessError:
                # Somebody took one of the ports in the meantime.
                if attempt == 4 or "Address already in use" not in self.log():
                    raise AssertionError("nginx ended\n" + self.log()) from None

    def _spawn(self):
        servers = []
        for name, (path, kept, location) in self.backends.items():
            self.ports[name] = free_port()
            servers.append(TEMPLATES[kept].format(name=name, socket=path, port=self.ports[name], location=location,
                                                  more=self.more))
        config = os.path.join(self.dir, "nginx.conf")
        with open(config, "w") as file:
            file.write(CONFIG.format(dir=self.dir, maps=example_map(), servers="".join(servers),
                                     user="user root;" if os.getuid() == 0 else ""))
        log = os.path.join(self.dir, "error.log")
        self.process = subprocess.Popen(["nginx", "-p", self.dir, "-e", log, "-c", config], stdin=subprocess.DEVNULL)

    def _answers(self):
        if self.process.poll() is not None:
            raise ChildProcessError
        try:
            for port in self.ports.values():
                socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        except ConnectionRefusedError:
            return False
        return True

    def log(self):
        with open(os.path.join(self.dir, "error.log"), errors="backslashreplace") as log:
            return log.read()

    def connection(self, name):
        return http.client.HTTPConnection("127.0.0.1", self.ports[name], timeout=PATIENCE)

    def open(self, name, path, method="GET", body=None, headers=()):
        """Sends a request and returns (connection, response) as soon as the headers of the answer are there."""
        connection = self.connection(name)
        connection.request(method, path, body, dict(headers, Connection="close"))
        return connection, connection.getresponse()

    def ask(self, name, *args, **more):
        try:
            connection, response = self.open(name, *args, **more)
        except http.client.RemoteDisconnected:
            return NoResponse()
        try:
            return HTTPResponse(response)
        finally:
            connection.close()

    def stop(self):
        try:
            self.process.terminate()
            status = self.process.wait(PATIENCE)
            assert status == 0, self.log()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.dir, ignore_errors=True)
