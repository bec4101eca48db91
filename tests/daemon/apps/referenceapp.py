"""The routes of reference.c, in the same words."""


def application(environ, start_response):
    path, kind, headers, status = environ["PATH_INFO"], "text/plain", [], "200 OK"
    if path == "/hello":
        body = b"Hello, world\n"
    elif path in ("/echo", "/created"):
        kind, body = "application/octet-stream", environ["wsgi.input"].read()
        status = "201 Created" if path == "/created" else status
    elif path == "/query":
        body = environ["QUERY_STRING"].encode("latin-1")
    elif path == "/header":
        body = environ.get("HTTP_X_NAME", "none").encode("latin-1")
    elif path == "/cookies":
        status, body = "302 Found", b"moved\n"
        headers = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Location", "/there")]
    elif path == "/empty":
        body = b""
    else:
        status, body = "404 Not Found", b"no such route\n"
    start_response(status, [("Content-Type", kind), *headers, ("Content-Length", str(len(body)))])
    return [body]
