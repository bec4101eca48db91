def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello from " + environ["wsgi.url_scheme"].encode() + b"://" + environ["HTTP_HOST"].encode() + b"\n"]
