"""An application of sites/ behind nginx."""
import json
import os
import sys

import daemon
import nginx

SITES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sites")


def header(response, name):
    return [value for key, value in response.headers if key.lower() == name.lower()]


def serve(app, *options, **env):
    """Starts wsgi-fcgi with an application in the virtual environment that runs the tests."""
    return daemon.Daemon(app, "--venv", sys.prefix, "--pythonpath", daemon.APPS, *options, cwd=SITES, env=env,
                         both=daemon.speaks_http())


def proxy(server, more=""):
    backends = {"plain": (server.path, False, "/"), "kept": (server.path, True, "/")}
    if server.http_address:
        backends["proxied"] = ("%s:%d" % server.http_address, "proxy", "/")
    running = nginx.Nginx(backends, more=" fastcgi_param HTTP_HOST $host_and_port; " + more)
    if server.http_address:
        running.ports["http"] = server.http_address[1]  # its clients go there straight
    return running


def ways():
    """Behind nginx without and with kept connections; over HTTP behind nginx, and straight."""
    return ["plain", "kept"] + (["proxied", "http"] if daemon.speaks_http() else [])


class Site:
    """An application, by one of the ways to it."""

    def __init__(self, server, proxy, name):
        self.server, self.proxy, self.name = server, proxy, name
        self.servers = [server, proxy]

    def url(self, path, user=""):
        return "http://%s127.0.0.1:%d%s" % (user and user + "@", self.proxy.ports[self.name], path)

    def open(self, *args, **more):
        return self.proxy.open(self.name, *args, **more)

    def ask(self, *args, **more):
        return self.proxy.ask(self.name, *args, **more)

    def json(self, *args, status=200, **more):
        response = self.ask(*args, **more)
        assert response.status == status, response
        return json.loads(response.body)
