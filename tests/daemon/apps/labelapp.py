"""Shows the label of each request and its place in a trace, and keeps some of them."""
import json
import sys

from gateway import visit

kept = []
NAMES = ("HTTP_X_REQUEST_ID", "HTTP_TRACEPARENT", "HTTP_TRACESTATE")


def application(environ, start_response):
    path, headers = environ["PATH_INFO"], [("Content-Type", "application/json")]
    if path == "/keep":
        kept.append(environ["HTTP_X_REQUEST_ID"])
    elif path == "/keep-environ":
        kept.append(environ)
    elif path == "/intern":
        kept.append(environ["HTTP_X_REQUEST_ID"] + "")
        sys.intern(environ["HTTP_X_REQUEST_ID"])
    elif path == "/hash":
        headers.append(("X-Known", str(environ["HTTP_X_REQUEST_ID"] in {"".join(environ["HTTP_X_REQUEST_ID"])})))
        hash(environ["HTTP_X_REQUEST_ID"])
    elif path == "/gate":
        visit(environ["QUERY_STRING"], "call")
    elif path == "/fail":
        raise RuntimeError("as it was told")
    elif path == "/own":
        headers.append(("x-request-id", "of the application"))
    start_response("200 OK", headers)
    shown = {name: environ[name] for name in NAMES if name in environ}
    if path == "/kept":
        shown["kept"] = [k if isinstance(k, str) else k["HTTP_X_REQUEST_ID"] for k in kept]
    return [json.dumps(shown).encode()]
