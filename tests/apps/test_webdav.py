"""WsgiDAV, and litmus as its client."""
import concurrent.futures
import os
import re
import urllib.parse

import pytest
import requests
from lxml import etree

import commands
from fcgi import PATIENCE

APP = "davapp:application"
AUTH = ("me", "sesame")
SUITES = ["basic", "copymove", "props", "locks", "http"]
LOCK = """<?xml version="1.0" encoding="utf-8"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>
<D:locktype><D:write/></D:locktype><D:owner>somebody</D:owner></D:lockinfo>"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return {"FILES": tmp_path_factory.mktemp("files")}


@pytest.fixture
def dav(site):
    """dav(METHOD, PATH, status=N, ...) asks for a resource below a collection of its own."""
    def ask(method, path, status=200, headers=(), **more):
        headers = dict(headers)
        if "Destination" in headers:
            headers["Destination"] = root + urllib.parse.quote(headers["Destination"])
        response = session.request(method, root + urllib.parse.quote(path), headers=headers, timeout=PATIENCE, **more)
        assert response.status_code == status, (response, response.text)
        return response

    root = site.url("/own-%s/" % site.name)
    with requests.Session() as session:
        session.auth = AUTH
        ask("MKCOL", "", 201)
        yield ask
        ask("DELETE", "", 204)


def resources(response):
    """The names in an answer to PROPFIND, relative to the first, which is the collection itself."""
    found = [urllib.parse.unquote(href.text) for href in etree.fromstring(response.content).iter("{DAV:}href")]
    return [name[len(found[0]):] for name in found if name.startswith(found[0])]


@pytest.mark.parametrize("suite", SUITES)
def test_litmus(site, tmp_path, suite):
    said = commands.Command("litmus", tmp_path, TESTS=suite)(site.url("/"), *AUTH)
    summary = re.search(r"<- summary for `%s': of (\d+) tests run: (\d+) passed, 0 failed" % suite, said)
    assert summary and summary.group(1) == summary.group(2), said


def test_authorization(site):
    for auth in (None, ("me", "wrong")):
        response = requests.get(site.url("/"), auth=auth, timeout=PATIENCE)
        assert response.status_code == 401 and response.headers["WWW-Authenticate"]


def test_large_file(dav):
    data = os.urandom(12 << 20)
    dav("PUT", "large", 201, data=data)
    assert dav("GET", "large").content == data
    head = dav("HEAD", "large")
    assert (head.content, head.headers["Content-Length"]) == (b"", str(len(data)))
    for first, last in ((0, 0), (5000000, 5999999), (len(data) - 3, len(data) - 1)):
        part = dav("GET", "large", 206, headers={"Range": "bytes=%d-%d" % (first, last)})
        assert part.content == data[first:last + 1]
    dav("GET", "large", 304, headers={"If-None-Match": head.headers["ETag"]})
    dav("PUT", "large", 412, data=b"no", headers={"If-Match": '"another"'})
    assert dav("GET", "large").content == data


def test_chunked(dav):
    pieces = [os.urandom(70000) for _ in range(40)]
    dav("PUT", "chunked", 201, data=iter(pieces))
    assert dav("GET", "chunked").content == b"".join(pieces)
    dav("PUT", "empty", 201, data=b"")
    assert dav("GET", "empty").content == b""


def test_names(dav):
    name = "caf\xe9 \u20ac/\u0416 & 100%/a+b,c=d.txt"
    dav("MKCOL", "caf\xe9 \u20ac", 201)
    dav("MKCOL", "caf\xe9 \u20ac/\u0416 & 100%", 201)
    dav("PUT", name, 201, data=b"content")
    assert dav("GET", name).content == b"content"
    dav("MOVE", name, 201, headers={"Destination": "moved \xfc"})
    dav("GET", name, 404)
    dav("COPY", "moved \xfc", 201, headers={"Destination": name})
    dav("COPY", "moved \xfc", 412, headers={"Destination": name, "Overwrite": "F"})
    assert name in resources(dav("PROPFIND", "", 207, headers={"Depth": "infinity"}))
    assert "moved" in dav("GET", "").text


def test_lock(dav):
    dav("PUT", "locked", 201, data=b"1")
    token = dav("LOCK", "locked", headers={"Timeout": "Second-600"}, data=LOCK).headers["Lock-Token"]
    dav("PUT", "locked", 423, data=b"2")
    dav("PUT", "locked", 204, data=b"3", headers={"If": "(%s)" % token})
    dav("UNLOCK", "locked", 204, headers={"Lock-Token": token})
    dav("PUT", "locked", 204, data=b"4")
    assert dav("GET", "locked").content == b"4"


def test_at_a_time(dav):
    def keep(number):
        name, data = "file %d" % number, b"%d " % number * 30000
        dav("PUT", name, 201, data=data)
        dav("MOVE", name, 201, headers={"Destination": "moved %d" % number})
        assert dav("GET", "moved %d" % number).content == data
        dav("PROPFIND", "", 207, headers={"Depth": "0"})

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(keep, range(48)))
    names = resources(dav("PROPFIND", "", 207, headers={"Depth": "1"}))
    assert sorted(names) == sorted(["", *("moved %d" % number for number in range(48))])
