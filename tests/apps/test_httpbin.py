"""httpbin, and requests as its client."""
import concurrent.futures
import hashlib
import os

import pytest
import requests
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

from fcgi import PATIENCE

APP = "httpbin:app"


class Client(requests.Session):
    def __init__(self, site):
        super().__init__()
        self.site = site

    def request(self, method, url, *args, status=200, **more):
        url = url if url.startswith("http") else self.site.url(url)
        response = super().request(method, url, *args, timeout=PATIENCE, **more)
        assert response.status_code == status, response.text
        return response

    def json(self, *args, **more):
        return self.request(*args, **more).json()


@pytest.fixture
def client(site):
    with Client(site) as session:
        yield session


def test_query(client, site):
    got = client.json("GET", "/get", params={"a": ["1", "caf\xe9 \u20ac"], "b": "x&y=+ "})
    assert got["args"] == {"a": ["1", "caf\xe9 \u20ac"], "b": "x&y=+ "}
    assert got["url"].startswith(site.url("/get?a=1&a=caf"))
    assert got["origin"] == "127.0.0.1"


def test_path(client, site):
    assert client.json("GET", "/anything/caf\xe9/\u20ac%20x")["url"] == site.url("/anything/caf\xe9/\u20ac%20x")


def test_headers(client):
    got = client.json("GET", "/headers", headers={"X-One": "1", "X-Two-Words": "caf\xe9".encode("latin-1"),
                                                  "X-Long": "y" * 6000, "User-Agent": "tests"})["headers"]
    assert (got["X-One"], got["X-Two-Words"], got["X-Long"]) == ("1", "caf\xe9", "y" * 6000)
    assert client.json("GET", "/user-agent", headers={"User-Agent": "tests/1"}) == {"user-agent": "tests/1"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_methods(client, method):
    got = client.json(method, "/" + method.lower(), data={"a": ["1", "\u20ac"], "b": ""})
    assert got["form"] == {"a": ["1", "\u20ac"], "b": ""}
    got = client.json(method, "/" + method.lower(), json={"a": ["\u20ac", None]})
    assert got["json"] == {"a": ["\u20ac", None]}
    assert client.json(method, "/anything", data=b"")["method"] == method


def test_options(client):
    allowed = client.request("OPTIONS", "/post").headers["Allow"]
    assert set(allowed.split(", ")) == {"OPTIONS", "POST"}
    assert client.request("GET", "/post", status=405).headers["Allow"]


def test_head(client):
    for path in ("/get", "/bytes/5000", "/image/png", "/gzip"):
        response = client.request("HEAD", path)
        assert response.content == b"" and int(response.headers["Content-Length"]) > 100
    assert client.request("HEAD", "/stream/3").content == b""


def test_upload(client):
    text = "0123456789 caf\xe9\n" * 300000
    got = client.json("POST", "/post", data={"note": "a note"}, files={
        "one": ("one.txt", text.encode()), "\u0416": ("\u0416.bin", os.urandom(1000))})
    assert got["form"] == {"note": "a note"}
    assert got["files"]["one"] == text and set(got["files"]) == {"one", "\u0416"}


def test_chunked_upload(client):
    pieces = [b"%07d\n" % number * 1000 for number in range(300)]
    got = client.json("POST", "/post", data=iter(pieces))
    assert hashlib.sha256(got["data"].encode()).digest() == hashlib.sha256(b"".join(pieces)).digest()
    assert client.json("PUT", "/anything", data=iter([b"once"]))["data"] == "once"


def test_expect(client):
    """nginx answers it; the application sees the body as ever."""
    got = client.json("POST", "/post", data=b"z" * 100000, headers={"Expect": "100-continue"})
    assert got["data"] == "z" * 100000


@pytest.mark.parametrize("kind", ["redirect", "relative-redirect", "absolute-redirect"])
def test_redirects(client, site, kind):
    response = client.request("GET", "/%s/5" % kind)
    assert [step.status_code for step in response.history] == [302] * 5
    assert response.url == site.url("/get")
    response = client.request("GET", "/%s/1" % kind, allow_redirects=False, status=302)
    assert response.headers["Location"].endswith("/get")


def test_redirect_of_post(client):
    to = {"url": "/anything/elsewhere", "status_code": 307}
    assert client.json("POST", "/redirect-to", params=to, data={"a": "b"})["form"] == {"a": "b"}
    to["status_code"] = 303
    assert client.json("POST", "/redirect-to", params=to, data={"a": "b"})["method"] == "GET"


def test_cookies(client):
    got = client.json("GET", "/cookies/set", params={"one": "1", "two": "x y", "three": "3"})
    assert got["cookies"] == {"one": "1", "two": "x y", "three": "3"}
    assert client.json("GET", "/cookies/delete", params={"two": ""})["cookies"] == {"one": "1", "three": "3"}
    assert client.json("GET", "/cookies")["cookies"] == {"one": "1", "three": "3"}


def test_authorization(client):
    refused = client.request("GET", "/basic-auth/me/s\u00e9same", status=401)
    assert refused.headers["WWW-Authenticate"].startswith("Basic")
    assert client.json("GET", "/basic-auth/me/sesame", auth=HTTPBasicAuth("me", "sesame"))["user"] == "me"
    assert client.json("GET", "/bearer", headers={"Authorization": "Bearer token"})["token"] == "token"
    for algorithm in ("MD5", "SHA-256", "SHA-512"):
        got = client.json("GET", "/digest-auth/auth/me/sesame/" + algorithm, auth=HTTPDigestAuth("me", "sesame"))
        assert got == {"authenticated": True, "user": "me"}
    client.request("GET", "/digest-auth/auth/me/sesame", auth=HTTPDigestAuth("me", "wrong"), status=401)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compressed(client, coding):
    response = client.request("GET", "/" + coding)
    assert response.headers["Content-Encoding"] == coding
    assert response.json()["deflated" if coding == "deflate" else "gzipped"] is True


@pytest.mark.parametrize("code", [200, 201, 204, 301, 304, 400, 402, 404, 418, 429, 500, 503, 599])
def test_statuses(client, code):
    for method in ("GET", "HEAD", "POST", "DELETE"):
        response = client.request(method, "/status/%d" % code, allow_redirects=False, status=code)
        assert method != "HEAD" and code not in (204, 304) or response.content == b""


def test_bytes(client):
    for size in (1, 8191, 65535, 65536, 102400):
        for path in ("/bytes/%d", "/stream-bytes/%d"):
            whole = client.request("GET", path % size, params={"seed": 1}).content
            assert len(whole) == size
            assert client.request("GET", path % size, params={"seed": 1, "chunk_size": 10000}).content == whole
    assert client.request("GET", "/stream-bytes/0").content == b""


def test_stream(client):
    with client.request("GET", "/stream/100", stream=True) as response:
        assert [line["id"] for line in map(requests.compat.json.loads, response.iter_lines())] == list(range(100))


def test_drip(client):
    """A slow application beside a fast one."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        slow = [pool.submit(client.request, "GET", "/drip", params={"duration": 0.5, "numbytes": 10, "code": 203},
                            status=203) for _ in range(4)]
        fast = [pool.submit(client.request, "GET", "/get") for _ in range(40)]
        assert all(answer.result().json()["args"] == {} for answer in fast)
        assert all(answer.result().content == b"*" * 10 for answer in slow)


def test_delay(client):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda number: client.json("POST", "/delay/0.1", data={"n": number}), range(48))
        assert [answer["form"]["n"] for answer in answers] == [str(number) for number in range(48)]


@pytest.mark.parametrize("wanted, first, last", [("bytes=0-99", 0, 99), ("bytes=1000-", 1000, 102399),
                                                 ("bytes=-1", 102399, 102399), ("bytes=5-5", 5, 5)])
def test_range(client, wanted, first, last):
    whole = client.request("GET", "/range/102400").content
    assert len(whole) == 102400
    part = client.request("GET", "/range/102400", headers={"Range": wanted}, status=206)
    assert part.headers["Content-Range"] == "bytes %d-%d/102400" % (first, last)
    assert part.content == whole[first:last + 1]


def test_range_outside(client):
    assert client.request("GET", "/range/100", headers={"Range": "bytes=200-"}, status=416).content == b""


def test_conditional(client):
    first = client.request("GET", "/cache")
    tag = first.headers["ETag"]
    assert client.request("GET", "/cache", headers={"If-None-Match": tag}, status=304).content == b""
    assert client.request("GET", "/etag/x", headers={"If-None-Match": '"x", "y"'}, status=304).headers["ETag"] == "x"
    client.request("GET", "/etag/x", headers={"If-None-Match": '"z"'})
    client.request("GET", "/etag/x", headers={"If-Match": '"z"'}, status=412)


def test_documents(client):
    assert client.request("GET", "/encoding/utf8").text.count("\u2200") > 1
    assert client.request("GET", "/image/png").content.startswith(b"\x89PNG")
    assert client.request("GET", "/image", headers={"Accept": "image/jpeg"}).headers["Content-Type"] == "image/jpeg"
    assert client.request("GET", "/base64/d3NnaS1mY2dp").text == "wsgi-fcgi"
    assert "<html>" in client.request("GET", "/html").text


def test_response_headers(client):
    response = client.request("GET", "/response-headers", params={"X-A": ["1", "2"], "Server": "mine"})
    assert response.headers["X-A"] == "1, 2"


def test_kept_connection_of_client(client):
    """Hundreds of requests on one connection of the client, of all kinds."""
    for number in range(50):
        client.request("POST", "/post", data=b"x" * number * 1000)
        client.request("GET", "/bytes/%d" % (number + 1))
        client.request("GET", "/status/204", status=204)
        client.request("HEAD", "/get")
        client.request("GET", "/status/500", status=500)
        client.request("GET", "/stream/2")
