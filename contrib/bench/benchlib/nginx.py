"""The one nginx that is in front of every peer of the path "nginx", a port for each."""

import os
import subprocess

from .peers import APPS, SetupError

CONFIG = """\
{user}
worker_processes {cpus};
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path {directory}/nginx-body;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    proxy_temp_path {directory}/nginx-proxy;
    scgi_temp_path {directory}/nginx-scgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    {repeat}
    client_max_body_size 0;
    client_body_buffer_size 128k;
    keepalive_requests 1000000000;
{servers}
}}
"""

SERVER = """\
    upstream {name} {{
        {addresses}
        {keepalive}
    }}
    server {{
        listen 127.0.0.1:{port} backlog={backlog};
        location / {{
{link}
        }}
    }}
"""

# PATH_INFO: not every peer makes it of SCRIPT_NAME.
LINKS = {
    "fastcgi": """\
            include /etc/nginx/fastcgi_params;
            fastcgi_param PATH_INFO $fastcgi_script_name;
            fastcgi_param SCRIPT_NAME "";
            fastcgi_pass {name};
            fastcgi_keep_conn on;""",
    "uwsgi": """\
            include /etc/nginx/uwsgi_params;
            uwsgi_pass {name};""",
    "php": f"""\
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME {APPS}/deadline.php;
            fastcgi_pass {{name}};""",
    "http": """\
            proxy_pass http://{name};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;""",
}

# Connections to the peer that nginx keeps, in each of its processes.
KEEPALIVE = "keepalive 1024; keepalive_requests 1000000000;"

# For whoever counts what is lost: it would ask again, and the peer would begin the same call again.
NO_REPEAT = "fastcgi_next_upstream off; proxy_next_upstream off; uwsgi_next_upstream off;"


class Nginx:
    def __init__(self, directory, cpus, backlog, repeat=True):
        self.directory = directory
        self.cpus = cpus
        self.backlog = backlog
        self.repeat = repeat
        self.servers = []
        self.process = None

    def add(self, peer, place, port):
        """Serves the peer that listens at `place` on `port`."""
        link = LINKS[place.protocol].format(name=peer.name)
        keepalive = KEEPALIVE if peer.keeps(place.protocol) else ""
        addresses = [f"unix:{path}" for path in place.sockets] if place.socket else [place.address]
        servers = "\n        ".join(f"server {address} max_fails=0;" for address in addresses)
        self.servers.append(
            SERVER.format(
                name=peer.name, addresses=servers, port=port, backlog=self.backlog, link=link, keepalive=keepalive
            )
        )

    def start(self):
        user = "user root;" if os.getuid() == 0 else ""
        path = self.directory / "nginx.conf"
        path.write_text(
            CONFIG.format(user=user, cpus=self.cpus, directory=self.directory, repeat="" if self.repeat else NO_REPEAT,
                          servers="\n".join(self.servers))  # fmt: skip
        )
        command = ["/usr/sbin/nginx", "-c", str(path), "-e", str(self.directory / "nginx.log")]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        if checked.returncode:
            raise SetupError(f"nginx does not take its configuration:\n{checked.stderr}")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        return command

    def log(self):
        path = self.directory / "nginx.log"
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
