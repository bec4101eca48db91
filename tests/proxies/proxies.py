"""Starts the six proxies with the configurations of contrib/proxies, on private ports and in private directories.

A file is used as it is, but for the addresses and paths that a user replaces. A variant switches lines that the file
offers as an alternative in a comment, as a user does: nothing else of it is changed. Where a file is a part of the
proxy's configuration, "main" is the rest, as small as can be.
"""
import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading

from daemon import until
from deviations import DEFECTS
from fcgi import PATIENCE
from ports import free_port

CONTRIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "contrib", "proxies")
ROOT = os.getuid() == 0

# Per proxy: its file, how it is started, and what the file calls the address it listens on.
KINDS = {
    "nginx": {
        "file": "nginx.conf",
        "command": ["nginx", "-p", "{dir}", "-e", "{dir}/log", "-c", "{dir}/main.conf"],
        "listen": {"listen 8080": "listen 127.0.0.1:{port}"},
        "stop": signal.SIGTERM,
        "main": """\
%s
daemon off;
worker_processes 1;
pid {dir}/pid;
error_log {dir}/log info;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {dir}/body;
    fastcgi_temp_path {dir}/fastcgi;
    proxy_temp_path {dir}/proxy;
    scgi_temp_path {dir}/scgi;
    uwsgi_temp_path {dir}/uwsgi;
    include {file};
}}
""" % ("user root;" if ROOT else ""),
    },
    "caddy": {
        "file": "Caddyfile",
        "command": ["caddy", "run", "--adapter", "caddyfile", "--config", "{dir}/main.conf"],
        "listen": {":8080 {{": ":{port} {{"},
        "stop": signal.SIGTERM,
        "main": """\
{{
    admin off
    auto_https off
    default_bind 127.0.0.1
    grace_period 1s
}}
import {file}
""",
    },
    "apache": {
        "file": "apache.conf",
        "command": ["apache2", "-D", "FOREGROUND", "-f", "{dir}/main.conf"],
        "listen": {"Listen 8080": "Listen 127.0.0.1:{port}", "*:8080": "127.0.0.1:{port}"},
        "stop": signal.SIGTERM,
        "main": """\
%s
ServerRoot {dir}
ServerName localhost
PidFile {dir}/pid
DefaultRuntimeDir {dir}
Mutex file:{dir}
ErrorLog {dir}/log
LogLevel info
%s
KeepAliveTimeout 1
StartServers 1
ThreadLimit 200
ServerLimit 2
ThreadsPerChild 200
MaxRequestWorkers 400
""" % ("User www-data\nGroup www-data" if ROOT else "",
            "\n".join("LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so" % (name, name)
                      for name in ("mpm_event", "authz_core", "alias", "proxy", "proxy_fcgi", "ssl")))
        + "Include {file}\n",
    },
    "lighttpd": {
        "file": "lighttpd.conf",
        "command": ["lighttpd", "-D", "-f", "{dir}/main.conf"],
        "listen": {"server.port := 8080": "server.port := {port}"},
        "stop": signal.SIGTERM,
        "main": """\
server.modules = ()
server.bind = "127.0.0.1"
server.document-root = "{dir}/static"
server.errorlog = "{dir}/log"
server.upload-dirs = ( "{dir}" )
include "{file}"
""",
    },
    "haproxy": {
        "file": "haproxy.cfg",
        "command": ["haproxy", "-db", "-f", "{dir}/main.conf", "-f", "{file}"],
        "listen": {"bind :8080": "bind 127.0.0.1:{port}"},
        "stop": signal.SIGUSR1,
        "main": """\
global
    maxconn 1000
    hard-stop-after 1s
    log stderr format raw local0
""",
    },
    "h2o": {
        "file": "h2o.conf",
        "command": ["h2o", "-c", "{dir}/main.conf"],
        "listen": {"port: 8080": "host: 127.0.0.1\n  port: {port}"},
        "stop": signal.SIGTERM,
        "main": """\
%s
pid-file: {dir}/pid
temp-buffer-path: {dir}
<<: !file {file}
""" % ("user: root" if ROOT else ""),
    },
}

LOGS = ("out", "log")

# Where proxies have failed by a defect of their own.
defects = []

SOCKET = "/run/wsgi-fcgi/app.sock"
STATIC = "/srv/app/static"
CERTIFICATE = {"/etc/ssl/certs/example.org.pem": "{dir}/tls.pem", "/etc/ssl/private/example.org.key": "{dir}/tls.key",
               "/etc/ssl/private/example.org.pem": "{dir}/tls.both"}

# Lines (as they begin) that a variant comments out with "-" and takes out of their comment with "+".
TLS = {
    "nginx": ["-listen 8080;", "+listen 8080 ssl;", "+ssl_certificate ", "+ssl_certificate_key "],
    "caddy": ["+tls "],
    "apache": ["+SSLEngine", "+SSLCertificateFile", "+SSLCertificateKeyFile"],
    "lighttpd": ['+server.modules += ( "mod_openssl"', "+ssl.engine", "+ssl.pemfile", "+ssl.privkey"],
    "haproxy": ["-bind :8080", "+bind :8080 ssl"],
    "h2o": ["+ssl:"],
}

# What the comment about "an application below a path" says: text and what takes its place.
MOUNT = {
    "nginx": [("    location / {", "    location /app/ {")],
    "nginx-prefix": [("    location / {", "    location /app {")],
    "caddy": [("\thandle {", "\thandle /app/* {")],
    "caddy-path": [("\thandle {", "\thandle_path /app/* {")],
    "apache": [("    ProxyPass / unix:%s|fcgi://app/ retry" % SOCKET,
                "    ProxyPass /app unix:%s|fcgi://app/app retry" % SOCKET)],
    "lighttpd": [('= ( "/" =>', '= ( "/app" =>')],
    "haproxy": ["-default_backend app", "+use_backend app if"],
    "haproxy-prefix": [("    default_backend app", "    use_backend app if { path_beg /app }")],
    "h2o": [("      /:\n", "      /app:\n")],
}

# The address of a server on TCP in place of the socket's.
TCP = {
    "nginx": ("server unix:%s;" % SOCKET, "server 127.0.0.1:%d;"),
    "caddy": ("reverse_proxy unix/%s {" % SOCKET, "reverse_proxy 127.0.0.1:%d {"),
    "apache": ("unix:%s|fcgi://app/ " % SOCKET, "fcgi://127.0.0.1:%d/ "),
    "lighttpd": ('"socket" => "%s"' % SOCKET, '"host" => "127.0.0.1", "port" => %d'),
    "haproxy": ("unix@%s" % SOCKET, "127.0.0.1:%d"),
    "h2o": ("type: unix\n          port: %s" % SOCKET, "type: tcp\n          host: 127.0.0.1\n          port: %d"),
}

# What makes a proxy write FCGI_STDERR into its log, where it does not do so anyway.
STDERR = {"caddy": ["+capture_stderr"], "haproxy": ["+log-stderr global"]}

VARIANTS = {
    "nginx": ("nginx", ["-keepalive 16;", "-fastcgi_keep_conn on;"]),
    "nginx-kept": ("nginx", []),
    "nginx-unbuffered": ("nginx", ["+fastcgi_buffering off;", "+fastcgi_request_buffering off;",
                                   "+fastcgi_buffer_size 32k;", "+fastcgi_buffers 8 32k;"]),
    "caddy": ("caddy", []),
    "apache": ("apache", []),
    "apache-kept": ("apache", ["-ProxyPass / unix:%s|fcgi://app/ retry=0 flushpackets=on\n" % SOCKET,
                               "+ProxyPass / unix:%s|fcgi://app/ retry=0 flushpackets=on enablereuse=on\n" % SOCKET]),
    "lighttpd": ("lighttpd", []),
    "lighttpd-streaming": ("lighttpd", ["+server.stream-request-body = 1"]),
    "haproxy": ("haproxy", []),
    "haproxy-mpxs": ("haproxy", ["+http-reuse always", "+option get-values", "+option mpxs-conns",
                                 "+option max-reqs 100"]),
    "h2o": ("h2o", []),
    "h2o-kept": ("h2o", ["+fastcgi.timeout.keepalive:"]),
}


def switch(text, change):
    """Applies one documented change to the text of a configuration; it must fit exactly once."""
    if isinstance(change, tuple):
        assert text.count(change[0]) == 1, "%r is %d times in the file" % (change[0], text.count(change[0]))
        return text.replace(*change)
    sign, start = change[0], change[1:]
    pattern, new = (r"^(\s*)#(%s)", r"\1\2") if sign == "+" else (r"^(\s*)(%s)", r"\1#\2")
    text, count = re.subn(pattern % re.escape(start), new, text, flags=re.M)
    assert count == 1, "%r fits %d lines" % (change, count)
    return text


def make_certificate(directory):
    key, cert = os.path.join(directory, "tls.key"), os.path.join(directory, "tls.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
    with open(os.path.join(directory, "tls.both"), "w") as both:
        for path in (cert, key):
            with open(path) as part:
                both.write(part.read())
            os.chmod(path, 0o644)


class Connection(http.client.HTTPConnection):
    """Sends a target as it is, raw bytes beyond ASCII included."""

    def _encode_request(self, request):
        return request.encode("latin-1")

    def _validate_path(self, url):
        pass


def send_body(sock, body, chunked):
    try:
        if not chunked:
            sock.sendall(body)
            return
        for i in range(0, len(body), 50000):
            part = body[i:i + 50000]
            sock.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        sock.sendall(b"0\r\n\r\n")
    except OSError:
        # Whether that is right shows in the answer.
        pass


def hang_up(connection, sock):
    """Closes for good: a thread that sends is ended too."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()
    sock.close()


class Response:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.getheaders()
        self.cut = False    # the client can tell that the body is not complete
        try:
            self.body = response.read()
        except http.client.IncompleteRead as error:
            self.body, self.cut = error.partial, True
        except ConnectionError:
            self.body, self.cut = None, True

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name):
        values = self.all(name)
        return values[0] if values else None

    def __repr__(self):
        return "<Response %d %r %r%s>" % (self.status, self.headers, (self.body or b"")[:2000],
                                          " cut" if self.cut else "")


class Proxy:
    """A running proxy in front of the server at `socket_path`."""

    def __init__(self, variant, socket_path, mount=None, tls=False, stderr=False, main="", changes=(), tcp=None):
        """`main` is put behind KINDS[...]["main"], and `changes` are made besides those of the variant. `tcp` is a port
        of the server, to be asked there."""
        self.variant, self.main = variant, main
        self.kind, self.changes = VARIANTS[variant]
        self.changes = self.changes + list(changes)
        if stderr:
            self.changes = self.changes + STDERR.get(self.kind, [])
        if mount:
            self.changes = self.changes + MOUNT[mount]
        if tls:
            self.changes = self.changes + TLS[self.kind]
        self.tls, self.tcp = tls, tcp
        self.socket_path = socket_path
        self.dir = tempfile.mkdtemp(prefix="wsgi-fcgi-%s." % self.kind)
        os.chmod(self.dir, 0o777)
        os.mkdir(os.path.join(self.dir, "static"))
        with open(os.path.join(self.dir, "static", "hello.txt"), "w") as file:
            file.write("a file\n")
        if tls:
            make_certificate(self.dir)
        program = KINDS[self.kind]["command"][0]
        self.search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        assert shutil.which(program, path=self.search), "%s is not installed" % program
        self._start()

    def _start(self):
        for attempt in range(5):
            self._spawn(self.search)
            try:
                until(self._answers, "%s to listen" % self.kind, self.log)
                return
            except ChildProcessError:
                # Somebody took the port in the meantime.
                if attempt == 4 or "in use" not in self.log():
                    log = self.log()
                    self._remove()
                    raise AssertionError("%s ended\n%s" % (self.kind, log)) from None
            except BaseException:
                self._remove()
                raise

    def _spawn(self, path):
        kind = KINDS[self.kind]
        self.port = free_port()
        words = {"dir": self.dir, "port": self.port, "file": os.path.join(self.dir, kind["file"])}
        with open(os.path.join(CONTRIB, kind["file"])) as file:
            text = file.read()
        for change in self.changes:
            text = switch(text, change)
        if self.tcp:
            old, new = TCP[self.kind]
            assert old in text, "%s is not in %s" % (old, kind["file"])
            text = text.replace(old, new % self.tcp)
        for old, new in {**kind["listen"], **CERTIFICATE, SOCKET: self.socket_path,
                         STATIC: self.dir + "/static"}.items():
            assert old.format() in text or STATIC == old or old in CERTIFICATE, "%s is not in %s" % (old, kind["file"])
            text = text.replace(old.format(), new.format(**words))
        with open(words["file"], "w") as file:
            file.write(text)
        with open(os.path.join(self.dir, "main.conf"), "w") as file:
            file.write(kind["main"].format(**words) + self.main)
        env = dict(os.environ, PATH=path, HOME=self.dir, XDG_DATA_HOME=self.dir, XDG_CONFIG_HOME=self.dir)
        with open(os.path.join(self.dir, "out"), "ab") as out:
            self.process = subprocess.Popen([word.format(**words) for word in kind["command"]], cwd=self.dir,
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env)

    def _answers(self):
        if self.process.poll() is not None:
            raise ChildProcessError
        try:
            socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
        except ConnectionRefusedError:
            return False
        return True

    def log(self):
        text = ""
        for name in LOGS:
            try:
                with open(os.path.join(self.dir, name), errors="backslashreplace") as log:
                    text += log.read()
            except FileNotFoundError:
                pass
        return text

    def failed_by_itself(self):
        """Whether the process has ended by the defect that DEFECTS describes."""
        if self.kind not in DEFECTS:
            return False
        try:
            self.process.wait(1)  # its end may be seen by a client before
        except subprocess.TimeoutExpired:
            return False
        return DEFECTS[self.kind][0] in self.log()

    def restart(self):
        """Starts the proxy again after it has ended, with empty logs and on another port."""
        for name in LOGS:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.dir, name))
        self._start()

    # --- asking

    def connect(self):
        """A plain (or TLS) connection of a client."""
        sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        if self.tls:
            context = ssl.create_default_context(cafile=os.path.join(self.dir, "tls.pem"))
            sock = context.wrap_socket(sock, server_hostname="localhost")
        return sock

    def connection(self):
        """An http.client connection."""
        connection = Connection("localhost", self.port, timeout=PATIENCE)
        connection.sock = self.connect()
        return connection

    def open(self, target, method="GET", body=None, headers=(), **more):
        """Sends a request and returns the response as soon as its headers are there; its hang_up() ends the connection.

        `headers` may be a list of pairs, in which names are repeated; `target` goes out as it is.
        """
        connection = self.connection()
        headers = list(dict(headers).items()) if isinstance(headers, dict) else list(headers)
        names = {name.lower() for name, value in headers}
        connection.putrequest(method, target, skip_host="host" in names, skip_accept_encoding=True)
        chunked = more.get("chunked", False)
        if chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        elif body is not None and "content-length" not in names:
            headers.append(("Content-Length", str(len(body))))
        if not more.get("keep", False):
            headers.append(("Connection", "close"))
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        if body:
            # An early answer comes while the body is still being sent, and some proxies read no more of it then.
            threading.Thread(target=send_body, args=(connection.sock, body, chunked), daemon=True).start()
        elif chunked:
            connection.send(b"0\r\n\r\n")
        sock = connection.sock
        try:
            response = connection.getresponse()
        except BaseException:
            hang_up(connection, sock)
            raise
        response.sock, response.hang_up = sock, lambda: (response.close(), hang_up(connection, sock))
        return response

    def ask(self, *args, **more):
        response = self.open(*args, **more)
        try:
            return self.read(response)
        finally:
            response.hang_up()

    @staticmethod
    def read(response):
        """The whole answer."""
        return Response(response)

    def stop(self):
        try:
            status = self.process.poll()
            if status is None:
                self.process.send_signal(KINDS[self.kind]["stop"])
            elif self.failed_by_itself():
                defects.append("%s, after its last test" % self.variant)
            else:
                raise AssertionError("%s has ended by itself, with status %d\n%s" % (self.kind, status, self.log()))
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                raise AssertionError("%s does not end\n%s" % (self.kind, self.log())) from None
        finally:
            self._remove()

    def _remove(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
