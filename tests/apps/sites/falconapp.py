import falcon

import shared


def as_list(value):
    return value if isinstance(value, list) else [value]


def lists(params):
    return {name: as_list(value) for name, value in params.items()}


class Index:
    def on_get(self, req, resp):
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = "index"

    def on_head(self, req, resp):
        self.on_get(req, resp)


class User:
    def on_get(self, req, resp, name):
        resp.media = {"name": name, "args": lists(req.params), "url": req.url}


class Json:
    def on_post(self, req, resp):
        resp.status = falcon.HTTP_201
        resp.media = {"got": req.get_media()}


class Form:
    def on_post(self, req, resp):
        resp.media = lists(req.get_media())


class Upload:
    def on_post(self, req, resp):
        resp.media = {}
        for part in req.get_media():
            if part.name == "file":
                resp.media.update(shared.digest(part.stream), name=part.filename, type=part.content_type)
            else:
                resp.media[part.name] = part.text


class Digest:
    def on_put(self, req, resp):
        # Not bounded_stream, which ends at Content-Length: this one ends where the body does.
        resp.media = shared.digest(req.stream)


class Stream:
    def on_get(self, req, resp):
        resp.content_type = falcon.MEDIA_TEXT
        resp.set_header("X-Accel-Buffering", "no")
        resp.stream = shared.Chunks(req.get_param("gate"), req.get_param_as_int("count"))


class Breaks:
    def on_get(self, req, resp):
        resp.stream = shared.broken()


class Old:
    def on_get(self, req, resp):
        raise falcon.HTTPFound(req.prefix + "/")


class Cookies:
    def on_get(self, req, resp):
        for number in (1, 2, 3):
            resp.set_cookie("c%d" % number, "v%d" % number, secure=False)
        resp.media = req.cookies


class Count:
    """Falcon has no sessions."""

    def on_get(self, req, resp):
        number = int(req.cookies.get("count", 0)) + 1
        resp.set_cookie("count", str(number), secure=False)
        resp.text = str(number)


class File:
    def on_get(self, req, resp):
        resp.set_stream(open(shared.SAMPLE, "rb"), shared.os.path.getsize(shared.SAMPLE))

    on_head = on_get


class Fails:
    def on_get(self, req, resp):
        raise RuntimeError("broken view")


app = falcon.App()
app.req_options.keep_blank_qs_values = True
app.add_static_route("/static", shared.STATIC)
for route, resource in {"/": Index, "/user/{name}": User, "/json": Json, "/form": Form, "/upload": Upload,
                        "/digest": Digest, "/stream": Stream, "/breaks": Breaks, "/old": Old, "/cookies": Cookies,
                        "/count": Count, "/file": File, "/fails": Fails}.items():
    app.add_route(route, resource())
