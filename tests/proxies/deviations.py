"""What a proxy itself cannot do or does in its own way, and why. The tests assert these results as they do the right
ones.

A key is a case and the name of a proxy, or of a variant where variants differ. The first value is what happens (a set:
one of these, as timing decides), the second the reason.
"""
MERGED = "merges slashes in the path it maps (its default, for safe matching of locations); REQUEST_URI has them all"
DOTS = "leaves the path as the client sent it; browsers send none with dots"
ENCODES = "encodes what the client should have encoded"
REFUSES = "refuses bytes that a client has to encode (RFC 3986); \"option accept-invalid-http-request\" lets them in"
STOPS = "sends no more of an upload once it has the headers of the answer"
COLLECTS = "collects the upload first, unless told otherwise"
CHUNKED = "takes a chunked body for FastCGI only when it fits into its buffer (16 KiB, tune.bufsize)"
NO_LENGTH = "streams to FastCGI only what has a Content-Length, or has come whole with the headers"
NO_BREAK = "takes the end of the connection for the end of the answer"
SHARES = ("other requests on the same connection must not pay, so while there are any the server ends the request, not "
          "the connection; the application status that it sends then is not looked at")
DEAF = "does not look at the client while it waits for the application; a write tells it"
BURST = ("answers requests of a burst with its own 500 (log: IH) when their parameters do not fit into the buffer of the "
         "connection that they share; test_proxy_defects.py shows that a larger one helps")
NO_ABORT = ("sends no ABORT_REQUEST when it multiplexes; the application is told when HAProxy tidies its connections "
            "up, after some seconds")
AFTER_BREAK = ("ends the request at the record that breaks it, and may send another one on that connection before it has "
               "read its end, which comes directly behind")
CLINGS = ("sends new requests on a connection as long as one is open there, until the old server has answered one and "
          "told it not to")
LIMIT = "its limit for header fields, by default"
H2O_NAME = "sends the name that the host has in its configuration"

DEVIATIONS = {
    # --- the status page
    ("status page", "caddy"): (403, "says by X-Forwarded-For who its client is, also over FastCGI, and nobody has said that it "
                                    "is to be believed"),

    # --- paths
    ("path /a//b", "nginx"): ("/a/b", MERGED),
    ("path /a//b", "apache"): ("/a/b", MERGED),
    ("path /a//b", "lighttpd"): ("/a/b", MERGED),
    ("path /a/../b", "caddy"): ("/a/../b", DOTS),
    ("path /a/../b", "haproxy"): ("/a/../b", DOTS),
    ("path /a%2Fb", "apache"): ("/a%2Fb", "AllowEncodedSlashes NoDecode leaves %2F alone; the default answers 404"),

    ("uri /caf\xc3\xa9", "caddy"): ("/caf%C3%A9", ENCODES),
    ("path /caf\xc3\xa9", "haproxy"): (400, REFUSES),
    ("query caf\xc3\xa9", "haproxy"): (400, REFUSES),
    ("query caf\xc3\xa9", "lighttpd"): ("caf%C3%A9", ENCODES),

    # --- names
    ("port www.example.org", "caddy"): ("80", "takes the port from the client's Host, where no port means 80"),
    ("name [::1]:{port}", "caddy"): ("::1", "takes the brackets off"),
    ("absolute target", "h2o"): ("other.example.net:81", "believes the Host field before the request's line"),
    ("name localhost:{port}", "h2o"): ("default", H2O_NAME),
    ("name www.example.org", "h2o"): ("default", H2O_NAME),
    ("name www.example.org:{port}", "h2o"): ("default", H2O_NAME),
    ("name [::1]:{port}", "h2o"): ("default", H2O_NAME),

    # --- headers
    ("repeated cookies", "caddy"): ("a=1, b=2", "joins any repeated header with a comma; no browser repeats it"),
    ("repeated cookies", "apache"): ("a=1, b=2", "joins any repeated header with a comma; no browser repeats it"),
    ("900 headers of 80", "nginx"): (400, LIMIT),
    ("900 headers of 80", "apache"): (400, LIMIT),
    ("900 headers of 80", "lighttpd"): (431, LIMIT),
    ("900 headers of 80", "haproxy"): (400, LIMIT),
    ("900 headers of 80", "h2o"): (400, LIMIT),
    ("1 headers of 70000", "nginx"): (400, LIMIT),
    ("1 headers of 70000", "apache"): (400, LIMIT),
    ("1 headers of 70000", "lighttpd"): (431, LIMIT),
    ("1 headers of 70000", "haproxy"): (400, LIMIT),
    ("1 headers of 70000", "caddy"): (65477, "cuts a parameter that does not fit into one record"),

    # --- bodies
    ("echo", "nginx"): (60000, STOPS),
    ("streamed upload", "nginx"): (False, COLLECTS),
    ("streamed upload", "nginx-unbuffered"): (True, "fastcgi_request_buffering off"),
    ("streamed upload", "h2o"): (False, COLLECTS),
    ("streamed upload", "lighttpd"): (False, COLLECTS),
    ("streamed upload", "lighttpd-streaming"): (True, "server.stream-request-body = 1"),
    ("answer before the end of the upload", "nginx"): (False, COLLECTS),
    ("answer before the end of the upload", "nginx-unbuffered"): (True, "fastcgi_request_buffering off"),
    ("answer before the end of the upload", "h2o"): (False, COLLECTS),
    ("answer before the end of the upload", "lighttpd"): (False, COLLECTS),
    ("answer before the end of the upload", "lighttpd-streaming"): (True, "server.stream-request-body = 1"),
    ("answer before the end of the upload", "apache"): (False, "ends no answer before it has sent all of an upload"),
    ("answer before the end of the upload", "caddy"): (False, "reads nothing before it has sent all of an upload"),
    ("chunked body of 70000", "haproxy"): (400, CHUNKED),
    ("chunked body of 5242880", "haproxy"): (400, CHUNKED),
    ("early answer to a chunked body", "haproxy"): (400, CHUNKED),
    ("chunked body of 0", "lighttpd-streaming"): ({200, 411}, NO_LENGTH),
    ("chunked body of 1", "lighttpd-streaming"): ({200, 411}, NO_LENGTH),
    ("chunked body of 5000", "lighttpd-streaming"): ({200, 411}, NO_LENGTH),
    ("chunked body of 70000", "lighttpd-streaming"): ({200, 411}, NO_LENGTH),
    ("chunked body of 5242880", "lighttpd-streaming"): ({200, 411}, NO_LENGTH),
    ("early answer to a chunked body", "lighttpd-streaming"): (411, NO_LENGTH),
    ("slow chunked upload", "lighttpd-streaming"): (411, NO_LENGTH),
    ("size of a slow chunked upload", "haproxy"): (10000, CHUNKED),

    # --- answers
    ("length of a download", "apache"): (None, "drops Content-Length and sends the body chunked"),
    ("length of HEAD", "apache"): (None, "drops Content-Length"),
    ("Status", "caddy"): ("200 OK", "hands the Status header on as well"),
    ("answer's Vary", "apache"): ("Accept,Cookie", "writes lists anew"),

    ("answer's header of 7000", "nginx"): (502, "fastcgi_buffer_size is 4 KiB unless it is set"),
    ("answer's header of 20000", "nginx"): (502, "fastcgi_buffer_size is 4 KiB unless it is set"),
    ("answer's header of 7000", "nginx-unbuffered"): (200, "fastcgi_buffer_size is 32 KiB here"),
    ("answer's header of 20000", "nginx-unbuffered"): (200, "fastcgi_buffer_size is 32 KiB here"),
    ("answer's header of 20000", "apache"): (500, "takes lines of at most 8 KiB"),
    ("answer's header of 20000", "haproxy"): (502, "takes headers of at most 16 KiB together (tune.bufsize)"),

    ("stderr", "caddy"): (False, "2.6 takes \"capture_stderr\" and does nothing (github.com/caddyserver/caddy/pull/5515)"),
    ("much on stderr", "nginx"): (502, "keeps what comes before the headers in their buffer, fastcgi_buffer_size"),

    # --- what goes wrong
    ("break", "caddy"): ("whole", NO_BREAK),
    ("break", "h2o"): ("whole", NO_BREAK),
    ("break", "haproxy-mpxs"): ({"cut", "whole"}, SHARES),
    ("break with a length", "haproxy-mpxs"): ({"cut", "waits"}, SHARES),
    ("request after a break", "haproxy-mpxs"): ({200, 502}, AFTER_BREAK),
    ("break", "lighttpd"): ({"cut", "whole"}, "notices, unless the break comes together with the headers"),
    ("client gone", "caddy"): ({"silence"}, DEAF),
    ("client gone", "haproxy-mpxs"): ({"silence", "gone"}, NO_ABORT),
    ("client gone", "apache"): ({"silence"}, DEAF),
    ("client gone", "lighttpd"): ({"silence"}, DEAF),
    ("client gone", "h2o"): ({"silence"}, DEAF),

    # --- many requests
    ("300 requests", "haproxy-mpxs"): ({200, 500}, BURST),

    # --- a restart
    ("first request after a stop", "haproxy-mpxs"): ({200, 503}, CLINGS),

    # --- mounts
    ("bare mount", "nginx"): (301, "redirects to /app/, as it does for any location with fastcgi_pass"),
    ("bare mount", "nginx-prefix"): ("the application", "\"location /app\" has no slash to redirect to"),
    ("bare mount", "caddy"): (200, "\"/app/*\" does not match it; a path that nothing handles gets an empty 200"),
    ("neighbour of a mount", "caddy"): (200, "a path that nothing handles gets an empty 200"),
    ("neighbour of a mount", "haproxy"): (503, "a path that no backend is for gets a 503"),
    ("neighbour of a mount", "haproxy-prefix"): (404, "\"path_beg /app\" matches it: the server refuses it"),
    ("static files", "haproxy"): (False, "serves no files"),
}

# What a proxy's log says when it ends by a defect of its own, and the reason. The test is repeated then (conftest.py).
DEFECTS = {
    "h2o": ("h2o_socket_export: Assertion `!h2o_socket_is_writing(sock)' failed",
            "2.2.5 hands a kept connection back to its pool as soon as END_REQUEST is read (send_eos_and_close in "
            "lib/handler/fastcgi.c), although its own write of STDIN may not have been reported as complete yet: when "
            "both are due in one turn of its loop it reads first (run_socket in lib/common/socket/evloop.c.h). It takes "
            "an upload larger than a socket's buffer and an answer that has begun before its end; that END_REQUEST "
            "waits for the end of STDIN makes it rare, but no responder can rule it out"),
}


def expected(case, bench, right):
    for name in (bench.mount, bench.variant, bench.kind):
        if (case, name) in DEVIATIONS:
            return DEVIATIONS[case, name][0]
    return right
