"""What test_flask.py and test_django.py ask of their applications in the same way."""
import hashlib
import json
import os
import urllib.parse

import nginx

FORM = "application/x-www-form-urlencoded"


def header(response, name):
    return [value for key, value in response.headers if key.lower() == name.lower()]


class Site:
    """An application behind nginx, by one of its two ways."""

    def __init__(self, server, proxy, name):
        self.server, self.proxy, self.name = server, proxy, name

    def ask(self, *args, **more):
        return self.proxy.ask(self.name, *args, **more)

    def json(self, *args, status=200, **more):
        response = self.ask(*args, **more)
        assert response.status == status, response
        return json.loads(response.body)


def sites(server):
    return nginx.Nginx({"plain": (server.path, False, "/"), "kept": (server.path, True, "/")})


def check_page(site):
    response = site.ask("/")
    assert (response.status, response.body, response.complete) == (200, b"index", True)
    assert header(response, "Content-Length") == ["5"]
    head = site.ask("/", "HEAD")
    assert (head.status, head.body, header(head, "Content-Length")) == (200, b"", ["5"])


def check_json(site):
    value = {"a": [1, 2.5, None, "caf\xe9 \u20ac"], "b": "x" * 100000}
    got = site.json("/json", "POST", body=json.dumps(value), headers={"Content-Type": "application/json"}, status=201)
    assert got == {"got": value}


def check_form(site):
    value = {"name": ["caf\xe9 \u20ac"], "many": ["1", "2"], "empty": [""]}
    body = urllib.parse.urlencode(value, doseq=True)
    assert site.json("/form", "POST", body=body, headers={"Content-Type": FORM}) == value


def check_upload(site):
    data = os.urandom(1 << 20)
    body = (b'--limit\r\nContent-Disposition: form-data; name="note"\r\n\r\nwith a note\r\n'
            b'--limit\r\nContent-Disposition: form-data; name="file"; filename="data.bin"\r\n'
            b"Content-Type: application/x-data\r\n\r\n" + data + b"\r\n--limit--\r\n")
    got = site.json("/upload", "POST", body=body, headers={"Content-Type": "multipart/form-data; boundary=limit"})
    assert got == {"name": "data.bin", "type": "application/x-data", "length": len(data), "note": "with a note",
                   "sha": hashlib.sha256(data).hexdigest()}


def check_stream(site, gate):
    """Each chunk is with the client before the next one is produced."""
    connection, response = site.proxy.open(site.name, "/stream?gate=" + gate.path)
    try:
        assert response.readline() == b"chunk 0\n"
        for number in (1, 2):
            visitor = gate.arrived()
            assert visitor.text == "chunk %d" % number
            visitor.release()
            assert response.readline() == b"chunk %d\n" % number
        assert response.read() == b""
    finally:
        connection.close()


def check_redirect(site):
    response = site.ask("/old")
    assert response.status == 302
    assert header(response, "Location")[0].rstrip("/") in ("", "http://127.0.0.1",
                                                           "http://127.0.0.1:%d" % site.proxy.ports[site.name])


def check_cookies(site):
    values = header(site.ask("/cookies", headers={"Cookie": "c1=one; c2=two"}), "Set-Cookie")
    assert [value.partition("=")[0] for value in values] == ["c1", "c2", "c3"]


def check_session(site):
    jar = {}
    for expected in (b"1", b"2", b"3"):
        response = site.ask("/count", headers=jar)
        assert response.body == expected
        cookie = header(response, "Set-Cookie")
        if cookie:
            jar = {"Cookie": cookie[0].partition(";")[0]}


def check_file(site, path, content):
    response = site.ask(path)
    assert (response.status, response.body, response.complete) == (200, content, True)
    assert header(response, "Content-Length") == [str(len(content))]
    head = site.ask(path, "HEAD")
    assert (head.status, head.body) == (200, b"")


def check_failure(site, pattern):
    response = site.ask("/fails")
    assert response.status == 500 and b"Traceback" not in response.body and response.complete
    site.server.wait_log(pattern)
    assert site.ask("/no/such/page").status == 404
    assert site.ask("/").status == 200
