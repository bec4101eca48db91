"""OpenTelemetry as people use it: what the server sends is read by its own decoder, and an application is instrumented."""
import base64
import json
import os
import sys

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

import daemon
import served
from collector import Collector

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PROTOCOLS = ["fastcgi"] + ["http"] * ("WSGI_FCGI" in os.environ and daemon.speaks_http())


def decode(kind, body):
    """Strictly: what the protocol does not have is an error. The JSON of OTLP has hexadecimal digits for ids, where that
    of protobuf has base64."""
    if kind == "application/x-protobuf":
        return ExportTraceServiceRequest.FromString(body)
    assert kind == "application/json"
    read = json.loads(body)
    for resource in read["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in {"traceId", "spanId", "parentSpanId"} & set(span):
                    span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return json_format.Parse(json.dumps(read), ExportTraceServiceRequest(), ignore_unknown_fields=False)


class Decoding(Collector):
    def __init__(self):
        super().__init__(decode=lambda kind, body: (kind, body))

    def all_spans(self):
        """By the name of their scope."""
        return [(scope.scope.name, resource.resource, span) for _, _, _, body in self.requests
                for resource in decode(*body).resource_spans for scope in resource.scope_spans for span in scope.spans]


@pytest.fixture
def collector():
    made = Decoding()
    yield made
    made.close()


def value(of):
    """Of an attribute: a list of values has those."""
    kind = of.WhichOneof("value")
    return [value(one) for one in of.array_value.values] if kind == "array_value" else getattr(of, kind)


def values(pairs):
    return {pair.key: value(pair.value) for pair in pairs}


@pytest.fixture(params=PROTOCOLS)
def start(request, collector, tmp_path):
    """The application as opentelemetry-instrument starts it, or alone."""
    servers = []

    def starter(*command, **env):
        socket = str(tmp_path / "app.sock")
        options = [daemon.OPTIONS[request.param], socket, "--venv", sys.prefix, "--otlp", "env", "traced:app"]
        servers.append(daemon.Daemon(
            socket=socket, protocol=request.param, cwd=served.SITES, command=[*command, daemon.binary(), *options],
            env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                 "OTEL_SERVICE_NAME": "shop", "OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_METRICS_EXPORTER": "none",
                 "OTEL_LOGS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "otlp", **env}))
        return servers[-1]
    yield starter
    for server in servers:
        server.stop()


def test_the_decoder_of_the_protocol(start, collector):
    """It knows every field, and finds in it what was sent."""
    server = start()
    assert server.ask("/missing", query="token=secret", headers={
        "traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=1", "User-Agent": "caf\xe9 \u20ac\"\\".encode().decode("latin-1"),
        "X-Request-ID": "mine"}).status == 404
    (scope, resource, span), = collector.spans(1)
    assert scope == "wsgi-fcgi" and values(resource.attributes) == {"service.name": "shop", "process.pid": server.pid}
    assert span.trace_id.hex() == TRACE and span.parent_span_id.hex() == PARENT and len(span.span_id) == 8
    assert span.kind == Span.SPAN_KIND_SERVER and span.trace_state == "a=1" and span.status.code == Status.STATUS_CODE_UNSET
    assert span.flags & 0xff == 1 and span.name == "GET"
    told = values(span.attributes)
    assert told["http.response.status_code"] == 404 and told["url.path"] == "/missing"
    assert told["user_agent.original"] == "caf\xe9 \u20ac\"\\" and told["http.request.header.x-request-id"] == ["mine"]
    assert 0 < span.start_time_unix_nano <= span.events[-1].time_unix_nano <= span.end_time_unix_nano
    assert "secret" not in str(span)


def test_one_joined_trace(start, collector):
    """The caller's span, the server's, Flask's and the application's own: each is the parent of the next."""
    server = start(os.path.join(sys.prefix, "bin", "opentelemetry-instrument"))
    assert server.ask("/user/one", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}).body == b"one"
    spans = {span.name: (scope, span) for scope, _, span in collector.spans(3)}
    assert spans["GET"][0] == "wsgi-fcgi" and spans["GET /user/<name>"][0] == "opentelemetry.instrumentation.flask"
    assert {span.trace_id.hex() for _, span in spans.values()} == {TRACE}
    parent = PARENT
    for name in ("GET", "GET /user/<name>", "query"):
        assert spans[name][1].parent_span_id.hex() == parent, name
        parent = spans[name][1].span_id.hex()
