"""Spans of requests: what a collector gets, what the application is told, and that nobody waits for a collector."""
import json
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import daemon
from collector import Collector, attributes
from daemon import run, until
from fcgi import params, request

OVER_HTTP = True
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "20"}


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.close()


def shown(server, path="/", **headers):
    answer = server.ask(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status == 200, answer
    return json.loads(answer.body)


def lost(server):
    """As the status page counts them."""
    return json.loads(server.ask("/status", query="format=json").body)["totals"]["spans_lost_total"]


# --- a span

def test_a_span(start, collector):
    server = start("labelapp", "--otlp", collector.url,
                   env={**SOON, "OTEL_SERVICE_NAME": "shop", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=a%20b,service.name=no",
                        "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20secret, X-Two=2"})
    before = time.time_ns()
    got = shown(server, "/hello", User_Agent="probe/1", X_Request_ID="mine")
    span, = collector.spans(1)
    status, path, headers, body = collector.requests[0]
    assert path == "/v1/traces" and headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Bearer secret" and headers["X-Two"] == "2"
    resource = attributes(body["resourceSpans"][0]["resource"])
    assert resource.pop("process.pid") == server.pid
    assert resource == {"service.name": "shop", "deployment.environment": "a b"}
    assert body["resourceSpans"][0]["scopeSpans"][0]["scope"]["name"] == "wsgi-fcgi"
    assert span["name"] == "GET" and span["kind"] == 2 and "parentSpanId" not in span and "status" not in span
    version, trace, parent, flags = got["HTTP_TRACEPARENT"].split("-")
    assert (span["traceId"], span["spanId"], flags) == (trace, parent, "01")
    told = attributes(span)
    assert told["user_agent.original"] == "probe/1" and told["http.request.header.x-request-id"] == ["mine"]
    assert told["http.request.method"] == "GET" and told["url.path"] == "/hello"
    assert told["http.response.status_code"] == 200 and told["url.scheme"] == "http"
    times = [int(span["startTimeUnixNano"]), *(int(e["timeUnixNano"]) for e in span["events"]), int(span["endTimeUnixNano"])]
    assert times == sorted(times) and span["events"][-1]["name"] == "the application is called"
    assert before - 10**9 < times[0] and times[-1] < time.time_ns() + 10**9


def test_it_stands_between(start, collector):
    """It is the child of the caller's, and the parent of the application's."""
    server = start("labelapp", "--otlp", collector.url, env=SOON)
    got = shown(server, traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="a=1")
    span, = collector.spans(1)
    assert (span["traceId"], span["parentSpanId"], span["traceState"]) == (TRACE, PARENT, "a=1")
    assert got["HTTP_TRACEPARENT"] == f"00-{TRACE}-{span['spanId']}-01" and got["HTTP_TRACESTATE"] == "a=1"
    assert span["spanId"] != PARENT


def test_a_caller_who_does_not_record(start, collector):
    """Neither does the server; and the application is told the caller's place, since there is no other."""
    server = start("labelapp", "--otlp", collector.url, env=SOON)
    assert shown(server, traceparent=f"00-{TRACE}-{PARENT}-00")["HTTP_TRACEPARENT"] == f"00-{TRACE}-{PARENT}-00"
    shown(server, "/second")
    assert [attributes(span)["url.path"] for span in collector.spans(1)] == ["/second"]


def test_what_fails(start, collector):
    server = start("labelapp", "--otlp", collector.url, env=SOON)
    assert server.ask("/fail").status == 500
    span, = collector.spans(1)
    assert span["status"] == {"code": 2} and attributes(span)["error.type"] == "500"


def test_secrets_and_names_that_a_client_makes_up(start, collector):
    server = start("labelapp", "--otlp", collector.url, env=SOON)
    with server.connect() as connection:
        connection.send(request(params("/x", "BREW", query="token=secret")))
        connection.read_response(1)
    span, = collector.spans(1)
    told = attributes(span)
    assert span["name"] == "HTTP" and told["http.request.method"] == "_OTHER"
    assert told["http.request.method_original"] == "BREW" and told["url.path"] == "/x"
    assert "secret" not in json.dumps(collector.requests)


@pytest.mark.parametrize("sampler, arg, recorded", [
    ("always_off", "", 0), ("parentbased_always_off", "", 0), ("always_on", "", 20), ("traceidratio", "0", 0),
    ("parentbased_traceidratio", "1.0", 20)])
def test_samplers(start, collector, sampler, arg, recorded):
    server = start("labelapp", "--otlp", collector.url,
                   env={**SOON, "OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": arg})
    flags = [shown(server)["HTTP_TRACEPARENT"][-2:] for _ in range(20)]
    assert flags == ["01" if recorded else "00"] * 20
    server.stop()
    assert len(collector.all_spans()) == recorded


def test_workers(supervise, collector):
    server = supervise("labelapp", 2, "--preload", "--otlp", collector.url, env=SOON)
    for _ in range(20):
        shown(server)
    spans = collector.spans(20)
    assert len({span["spanId"] for span in spans}) == len({span["traceId"] for span in spans}) == 20


def test_the_end_sends_what_is_left(start, collector):
    server = start("labelapp", "--otlp", collector.url)
    shown(server)
    assert collector.all_spans() == []
    server.stop()
    assert len(collector.all_spans()) == 1


# --- settings

def test_url_of_the_environment(start, collector):
    server = start("labelapp", "--otlp", "env", env={**SOON, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url + "/base/"})
    shown(server)
    collector.spans(1)
    assert collector.requests[0][1] == "/base/v1/traces"


def test_url_of_traces(start, collector):
    server = start("labelapp", "--otlp", "env", env={**SOON, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.url + "/mine",
                                                     "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"})
    shown(server)
    collector.spans(1)
    assert collector.requests[0][1] == "/mine"


def test_variables_alone_switch_nothing_on(start, collector):
    server = start("labelapp", env={**SOON, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    assert "HTTP_TRACEPARENT" not in shown(server)
    server.stop()
    assert collector.requests == []


def test_disabled(start, collector):
    server = start("labelapp", "--otlp", collector.url, env={"OTEL_SDK_DISABLED": "true"})
    assert "HTTP_TRACEPARENT" not in shown(server)
    server.wait_log("--otlp has no effect: OTEL_SDK_DISABLED is true")


@pytest.mark.parametrize("url, why", [
    ("localhost:4318", "is not a URL such as"), ("http://", "is not a URL such as"), ("http://a:b@host", "has a name or a password"),
    ("http://a b", "has a blank"), ("ftp://host", "is not a URL such as")])
def test_bad_urls(url, why):
    done = run("--otlp", url, "-s", "/nowhere/x.sock", "labelapp")
    assert done.returncode == 64 and "--otlp" in done.stderr and why in done.stderr


@pytest.mark.parametrize("name, value, why", [
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "there is no gRPC"), ("OTEL_TRACES_SAMPLER", "some", "is none of"),
    ("OTEL_TRACES_SAMPLER_ARG", "2", "is not a number from 0 to 1"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "milliseconds"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "nothing", "NAME=VALUE"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%0d%0ac", "NAME=VALUE"),
    ("OTEL_RESOURCE_ATTRIBUTES", "x", "NAME=VALUE")])
def test_bad_variables(tmp_path, name, value, why):
    more = {"OTEL_TRACES_SAMPLER": "traceidratio"} if name.endswith("ARG") else {}
    done = run("--otlp", "http://localhost:1", "-s", str(tmp_path / "x.sock"), "--chdir", daemon.APPS, "labelapp",
               env={**more, name: value})
    assert done.returncode == 78 and name in done.stderr and why in done.stderr, done


@pytest.mark.parametrize("value, said", [("gzip", 1), ("none", 0)])
def test_compression(start, collector, value, said):
    """Nothing is compressed; whoever asks for it is told so once, and their spans come all the same."""
    server = start("labelapp", "--otlp", collector.url, env={**SOON, "OTEL_EXPORTER_OTLP_COMPRESSION": value})
    shown(server)
    collector.spans(1)
    assert "Content-Encoding" not in collector.requests[0][2]
    assert len(re.findall(r"warning: --otlp: OTEL_EXPORTER_OTLP_COMPRESSION has no effect ", server.log())) == said, server.log()


# --- collectors that misbehave

def test_one_that_hangs(start, collector):
    """No request waits, and neither does the end for long."""
    collector.hang = threading.Event()
    server = start("labelapp", "--otlp", collector.url, env=SOON)
    for _ in range(50):
        shown(server)
    collector.wait_requests(1)
    server.stop()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_one_that_is_busy(start, collector, status):
    """What it does not take is sent again, and nothing twice."""
    collector.behave(status, {"Retry-After": "1"})
    server = start("labelapp", "--otlp", collector.url, env=SOON)
    shown(server, "/first")
    collector.wait_requests(1)
    server.wait_log(r"warning: spans are not taken by the collector at http://[^\n]* \(status %d\); 0 lost by now" % status)
    collector.behave()
    spans = collector.spans(1)
    assert [attributes(span)["url.path"] for span in spans] == ["/first"]


def test_one_that_refuses(start, collector):
    """What it never takes is not sent again."""
    collector.behave(400)
    server = start("labelapp", "--status-path", "/status", "--otlp", collector.url, env=SOON)
    shown(server, "/first")
    server.wait_log(r"warning: spans were refused by the collector at http://[^\n]* \(status 400\); 1 lost by now")
    assert lost(server) == 1
    collector.behave()
    shown(server, "/second")
    assert [attributes(span)["url.path"] for span in collector.spans(1)] == ["/second"]


def test_one_that_refuses_some(start, collector):
    collector.behave(answer=b'{"partialSuccess": {"rejectedSpans": "1", "errorMessage": "no"}}')
    server = start("labelapp", "--status-path", "/status", "--otlp", collector.url, env=SOON)
    shown(server)
    server.wait_log(r"warning: spans were refused by [^\n]* \(partialSuccess\); 1 lost by now")
    assert lost(server) == 1


def test_one_that_is_not_there(start):
    """And comes later."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = start("labelapp", "--otlp", "http://127.0.0.1:%d" % port, env=SOON)
    shown(server, "/first")
    server.wait_log(r"warning: spans are not taken by the collector at http://[^\n]*\(Failed to connect")
    late = Collector(port=port)
    try:
        assert attributes(late.spans(1)[0])["url.path"] == "/first"
    finally:
        late.close()


def test_spans_are_lost_rather_than_requests(start, collector):
    collector.hang = threading.Event()
    server = start("labelapp", "--status-path", "/status", "--otlp", collector.url, env=SOON)
    with server.connect() as connection:
        for _ in range(2200):
            connection.send(request(params("/"), keep=True))
            assert connection.read_response(1).status == 200
    room = 2048
    until(lambda: lost(server) == 2200 - room, "those without room to be counted", server.log)
    server.signal(signal.SIGTERM)
    server.wait_exit()
    told = re.search(r"warning: (\d+) spans were lost, as the collector at [^\n]* did not take them", server.log())
    assert told and int(told.group(1)) == 2200


def test_what_workers_have_lost_stays_counted(supervise, collector):
    """Also what was left when one ended, and nobody took it."""
    collector.behave(503)
    server = supervise("labelapp", 1, "--status-path", "/status", "--otlp", collector.url, env=SOON)
    for _ in range(3):
        shown(server)
    collector.wait_requests(1)
    assert lost(server) == 0
    server.signal(signal.SIGHUP)
    until(lambda: lost(server) == 3, "the spans of the worker that has ended to be counted", server.log)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    for name, subject in (("right", "IP:127.0.0.1"), ("wrong", "DNS:elsewhere.example")):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=collector", "-addext", "subjectAltName=" + subject,
                        "-keyout", str(directory / (name + ".key")), "-out", str(directory / (name + ".pem"))],
                       check=True, capture_output=True)
    return directory


@pytest.mark.parametrize("name, trusted, why", [("right", "right", None), ("wrong", "wrong", "127.0.0.1"),
                                                ("right", "wrong", "certificate")])
def test_tls(start, certificates, name, trusted, why):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates / (name + ".pem"), certificates / (name + ".key"))
    collector = Collector(tls)
    try:
        server = start("labelapp", "--otlp", collector.url,
                       env={**SOON, "OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificates / (trusted + ".pem"))})
        shown(server)
        if why:
            server.wait_log(r"spans are not taken by the collector at https://[^\n]*\([^\n]*%s" % why)
            assert collector.all_spans() == []
        else:
            collector.spans(1)
    finally:
        collector.close()
