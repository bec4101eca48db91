"""Flask, from PyPI, by the installed command: over FastCGI behind nginx, over HTTP, and by two workers."""
import os

import pytest

import daemon
import nginx as nginxes
import supervised

FLASK = """\
import os
import flask

app = flask.Flask(__name__)

@app.get("/")
def index():
    return "hello from " + flask.request.headers["Host"]

@app.post("/form")
def form():
    return flask.jsonify(got=flask.request.form["name"], version=__import__("wsgi_fcgi").__version__)

@app.get("/pid")
def pid():
    return str(os.getpid())

@app.get("/gevent")
def gevent():
    import gevent
    gevent.sleep(0.01)
    return gevent.config.loop.__module__
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory, site):
    directory = tmp_path_factory.mktemp("home")
    os.chmod(directory, 0o755)
    (directory / "shop.py").write_text(FLASK)
    return directory


@pytest.fixture(scope="module", params=["alone", "workers"])
def server(request, home):
    if request.param == "alone":
        running = daemon.Daemon("shop:app", cwd=home, both=True)
    else:
        running = supervised.Supervised("shop:app", 2, cwd=home, both=True)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def nginx(server):
    running = nginxes.Nginx({"kept": (server.path, True, "/"), "proxied": ("%s:%d" % server.http_address, "proxy", "/")},
                            more=" fastcgi_param HTTP_HOST $host_and_port; ")
    running.ports["http"] = server.http_address[1]
    yield running
    running.stop()


@pytest.mark.parametrize("way", ["kept", "proxied", "http"])
def test_flask(nginx, way):
    assert nginx.ask(way, "/").body == b"hello from 127.0.0.1:%d" % nginx.ports[way]
    posted = nginx.ask(way, "/form", method="POST", body=b"name=a+b",
                       headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert posted.status == 200 and b'"got":"a b"' in posted.body, posted
    assert nginx.ask(way, "/none").status == 404


def test_the_supervisor_is_the_program_of_the_package(server, site):
    if not isinstance(server, supervised.Supervised):
        return
    package = site.package()
    assert os.readlink("/proc/%d/exe" % server.pid) == os.path.join(package, "wsgi-fcgi-supervisor")
    with open("/proc/%d/maps" % server.pid) as maps:
        assert "python" not in maps.read().replace(package, "")


def test_libev_of_gevent_and_that_of_the_server_do_not_meet(nginx):
    """gevent has a libev of its own, with the same names."""
    assert nginx.ask("http", "/gevent").status == 200
    assert nginx.ask("http", "/").status == 200
