"""What is asked of every framework. The applications of sites/ have the same views, each in its framework's own way."""
import concurrent.futures
import email.utils
import hashlib
import json
import os
import urllib.parse

import pytest

from served import header

FORM = "application/x-www-form-urlencoded"


def multipart(data, boundary="limit"):
    """A form with a field and a file, and the type of its content."""
    mark = b"--" + boundary.encode()
    body = (mark + b'\r\nContent-Disposition: form-data; name="note"\r\n\r\nwith a note\r\n'
            + mark + b'\r\nContent-Disposition: form-data; name="file"; filename="data.bin"\r\n'
            b"Content-Type: application/x-data\r\n\r\n" + data + b"\r\n" + mark + b"--\r\n")
    return body, {"Content-Type": "multipart/form-data; boundary=" + boundary}


def summary(data):
    return {"length": len(data), "sha": hashlib.sha256(data).hexdigest()}


def pieces(data):
    """Without a length a body is sent in chunks."""
    return (data[start:start + 100001] for start in range(0, len(data), 100001))


class ReadsToTheEnd:
    """For frameworks that know wsgi.input_terminated: they may be called before the body is there."""

    def test_streamed_body(self, streaming):
        data = os.urandom(3 << 20)
        for site in streaming:
            assert site.json("/digest", "PUT", body=pieces(data)) == summary(data)


class Common:
    """A subclass per framework. FILES are its ways to send a file; those in RANGED know ranges and conditions."""
    FILES = ["/file", "/static/sample.bin"]
    RANGED = FILES

    def test_page(self, site):
        response = site.ask("/")
        assert (response.status, response.body, response.complete) == (200, b"index", True)
        assert header(response, "Content-Length") == ["5"]
        head = site.ask("/", "HEAD")
        assert (head.status, head.body, header(head, "Content-Length")) == (200, b"", ["5"])

    def test_url(self, site):
        got = site.json("/user/caf%C3%A9%20%E2%82%AC?a=1&a=%E2%82%AC&b=+x%26y&empty=")
        assert got["name"] == "caf\xe9 \u20ac"
        assert got["args"] == {"a": ["1", "\u20ac"], "b": [" x&y"], "empty": [""]}
        url = urllib.parse.unquote(got["url"].partition("?")[0])
        assert url == site.url("/user/caf\xe9 \u20ac")

    def test_json(self, site):
        value = {"a": [1, 2.5, None, "caf\xe9 \u20ac"], "b": "x" * 100000}
        got = site.json("/json", "POST", body=json.dumps(value), headers={"Content-Type": "application/json"},
                        status=201)
        assert got == {"got": value}

    def test_form(self, site):
        value = {"name": ["caf\xe9 \u20ac"], "many": ["1", "2"], "empty": [""]}
        body = urllib.parse.urlencode(value, doseq=True)
        assert site.json("/form", "POST", body=body, headers={"Content-Type": FORM}) == value

    @pytest.mark.parametrize("size", [0, 1, 300000, 8 << 20])
    def test_upload(self, site, size):
        data = os.urandom(size)
        body, headers = multipart(data)
        got = site.json("/upload", "POST", body=body, headers=headers)
        assert got == dict(summary(data), name="data.bin", type="application/x-data", note="with a note")

    def test_chunked_body(self, site):
        """The length is told by nginx, which has buffered the body, or by the server, which has taken it whole."""
        data = os.urandom(3 << 20)
        assert site.json("/digest", "PUT", body=pieces(data)) == summary(data)
        assert site.json("/digest", "PUT", body=iter([b""])) == summary(b"")

    def test_chunked_form(self, site, unbuffered):
        for way in (site, unbuffered):
            assert way.json("/form", "POST", body=iter([b"a=1", b"&b=", b"2"]), headers={"Content-Type": FORM}) == {
                "a": ["1"], "b": ["2"]}

    def test_chunked_upload(self, site, unbuffered):
        data = os.urandom(3 << 20)
        body, headers = multipart(data)
        for way in (site, unbuffered):
            got = way.json("/upload", "POST", body=pieces(body), headers=headers)
            assert got == dict(summary(data), name="data.bin", type="application/x-data", note="with a note")

    def test_unbuffered_chunked_body(self, unbuffered):
        data = os.urandom(3 << 20)
        assert unbuffered.json("/digest", "PUT", body=pieces(data)) == summary(data)

    def test_unbuffered_body(self, unbuffered):
        data = os.urandom(3 << 20)
        assert unbuffered.json("/digest", "PUT", body=data) == summary(data)

    def test_unread_body(self, site):
        """The answer does not wait for a body that no view wants, and the next request is not mistaken for it."""
        response = site.ask("/no/such/page", "POST", body=b"GET / HTTP/1.1\r\n" * 200000)
        assert response.status == 404 and response.complete
        assert site.ask("/").body == b"index"

    def test_stream(self, site, gate):
        connection, response = site.open("/stream?count=3&gate=" + gate.path)
        try:
            gate.check_stream(response, 3)
        finally:
            connection.close()
        assert gate.arrived().text == "closed after 3"

    def test_client_goes(self, site, gate):
        """A stream without end ends with its client: the framework's iterable is closed."""
        connection, response = site.open("/stream?count=1000000000&gate=" + gate.path)
        assert response.readline() == b"chunk 0\n"
        gate.arrived().release()
        gate.arrived().release()
        response.close()
        connection.close()
        assert gate.arrived().text.startswith("closed after ")
        assert site.ask("/").body == b"index"

    def test_redirect(self, site):
        response = site.ask("/old")
        assert response.status in (302, 303)
        assert urllib.parse.urljoin(site.url("/old"), header(response, "Location")[0]) == site.url("/")

    def test_cookies(self, site):
        response = site.ask("/cookies", headers={"Cookie": "a=one; b=two"})
        assert json.loads(response.body) == {"a": "one", "b": "two"}
        assert [value.partition("=")[0] for value in header(response, "Set-Cookie")] == ["c1", "c2", "c3"]

    def test_session(self, site):
        jar = {}
        for expected in (b"1", b"2", b"3"):
            response = site.ask("/count", headers=jar)
            assert response.body == expected
            cookie = header(response, "Set-Cookie")
            if cookie:
                jar = {"Cookie": cookie[0].partition(";")[0]}

    def test_file(self, site, sample):
        for path in self.FILES:
            response = site.ask(path)
            assert (response.status, response.complete) == (200, True)
            assert summary(response.body) == summary(sample)
            assert header(response, "Content-Length") == [str(len(sample))]
            head = site.ask(path, "HEAD")
            assert (head.status, head.body, header(head, "Content-Length")) == (200, b"", [str(len(sample))])

    def test_range(self, site, sample):
        size = len(sample)
        for path in self.RANGED:
            for wanted, first, last in (("3-9", 3, 9), ("0-1", 0, 1), ("1000000-9999999", 1000000, 9999999),
                                        ("%d-" % (size - 5), size - 5, size - 1), ("-7", size - 7, size - 1)):
                response = site.ask(path, headers={"Range": "bytes=" + wanted})
                assert (response.status, response.complete) == (206, True)
                assert header(response, "Content-Range") == ["bytes %d-%d/%d" % (first, last, size)]
                assert summary(response.body) == summary(sample[first:last + 1])
            assert site.ask(path, headers={"Range": "bytes=%d-" % size}).status == 416

    def test_conditional(self, site, sample):
        for path in self.RANGED:
            whole = site.ask(path, "HEAD")
            when = header(whole, "Last-Modified")[0]
            response = site.ask(path, headers={"If-Modified-Since": when})
            assert (response.status, response.body, response.complete) == (304, b"", True)
            for tag in header(whole, "ETag"):
                response = site.ask(path, headers={"If-None-Match": tag})
                assert (response.status, response.body) == (304, b"")
            earlier = email.utils.parsedate_to_datetime(when).timestamp() - 60
            response = site.ask(path, headers={"If-Modified-Since": email.utils.formatdate(earlier, usegmt=True)})
            assert (response.status, len(response.body)) == (200, len(sample))

    def test_missing(self, site):
        for path in ("/no/such/page", "/static/no-such-file"):
            response = site.ask(path)
            assert response.status == 404 and response.complete

    def test_failure(self, site):
        response = site.ask("/fails")
        assert response.status == 500 and b"Traceback" not in response.body and response.complete
        site.server.wait_log("(?s)Traceback.*RuntimeError: broken view")
        assert site.ask("/").status == 200

    def test_broken_stream(self, site):
        """What failed after its first chunk does not look complete to the client."""
        response = site.ask("/breaks")
        assert (response.status, response.complete) == (200, False)
        site.server.wait_log("(?s)Traceback.*RuntimeError: broken stream")
        assert site.ask("/").body == b"index"

    def test_at_a_time(self, site):
        def ask(number):
            data = b"%d " % number * 20000
            body, headers = multipart(data, "limit%d" % number)
            got = site.json("/upload", "POST", body=body, headers=headers)
            assert (got["length"], got["sha"]) == (len(data), hashlib.sha256(data).hexdigest())
            assert site.json("/user/%d?n=%d" % (number, number))["args"] == {"n": [str(number)]}
            assert site.json("/cookies", headers={"Cookie": "n=%d" % number}) == {"n": str(number)}
            assert site.ask("/fails").status == 500
            return number

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            assert sorted(pool.map(ask, range(80))) == list(range(80))
