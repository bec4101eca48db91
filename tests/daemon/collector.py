"""A collector of traces for tests: takes OTLP over HTTP, and keeps the spans; or misbehaves as it is told."""
import contextlib
import http.server
import json
import threading

from fcgi import PATIENCE


class Collector:
    def __init__(self, tls=None, port=0, decode=lambda kind, body: json.loads(body)):
        collector = self
        self.requests = []          # (path, headers, decoded body)
        self.status, self.headers, self.answer = 200, {}, b"{}"
        self.hang = None            # an Event that answers wait for
        self.came = threading.Condition()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with collector.came:
                    status, headers, answer = collector.status, collector.headers, collector.answer
                    collector.requests.append((status, self.path, dict(self.headers),
                                               decode(self.headers["Content-Type"], body)))
                    collector.came.notify_all()
                if collector.hang:
                    collector.hang.wait(PATIENCE)
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(answer)),
                                        **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = "%s://127.0.0.1:%d" % ("https" if tls else "http", self.port)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        if self.hang:
            self.hang.set()
        self.server.shutdown()
        self.server.server_close()

    def behave(self, status=200, headers=(), answer=b"{}"):
        with self.came:
            self.status, self.headers, self.answer = status, dict(headers), answer

    def wait_requests(self, count):
        """So many, in whichever way they were answered."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.requests) >= count, PATIENCE), self.requests
            return list(self.requests)

    def all_spans(self):
        return [span for status, _, _, body in self.requests if status == 200
                for resource in body["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]]

    def spans(self, count):
        """Waits for so many that were taken."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.all_spans()) >= count, PATIENCE), self.all_spans()
            return self.all_spans()


def attributes(of):
    """Of a span or a resource."""
    def value(v):
        if "arrayValue" in v:
            return [value(one) for one in v["arrayValue"]["values"]]
        return int(v["intValue"]) if "intValue" in v else v["stringValue"]
    return {a["key"]: value(a["value"]) for a in of["attributes"]}
