from bottle import abort, default_app, get, post, put, redirect, request, response, static_file

import shared

SECRET = "for tests only"


def lists(multidict):
    return {name: multidict.getall(name) for name in multidict}


@get("/")
def index():
    return "index"


@get("/user/<name>")
def user(name):
    return {"name": name, "args": lists(request.query.decode()), "url": request.url}


@post("/json")
def json():
    response.status = 201
    return {"got": request.json}


@post("/form")
def form():
    return lists(request.forms.decode())


@post("/upload")
def upload():
    sent = request.files["file"]
    return dict(shared.digest(sent.file), name=sent.filename, type=sent.content_type, note=request.forms["note"])


@put("/digest")
def digest():
    return shared.digest(request.body)


@get("/stream")
def stream():
    response.content_type = "text/plain"
    response.set_header("X-Accel-Buffering", "no")
    return shared.Chunks(request.query["gate"], int(request.query["count"]))


@get("/breaks")
def breaks():
    return shared.broken()


@get("/old")
def old():
    redirect("/")


@get("/cookies")
def cookies():
    for number in (1, 2, 3):
        response.set_cookie("c%d" % number, "v %d" % number)
    return dict(request.cookies)


@get("/count")
def count():
    number = request.get_cookie("count", 0, secret=SECRET) + 1
    response.set_cookie("count", number, secret=SECRET)
    return str(number)


@get("/file")
def file():
    return static_file("sample.bin", root=shared.STATIC)


@get("/static/<path:path>")
def static(path):
    return static_file(path, root=shared.STATIC)


@get("/fails")
def fails():
    raise RuntimeError("broken view")


@get("/forbidden")
def forbidden():
    abort(403, "not for you")


application = default_app()
