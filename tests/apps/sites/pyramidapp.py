import os

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPForbidden, HTTPFound
from pyramid.paster import get_app
from pyramid.response import FileResponse, Response
from pyramid.session import SignedCookieSessionFactory

import shared


def index(request):
    return Response("index")


def user(request):
    return {"name": request.matchdict["name"], "args": request.GET.dict_of_lists(), "url": request.url}


def json(request):
    request.response.status = 201
    return {"got": request.json_body}


def form(request):
    return request.POST.dict_of_lists()


def upload(request):
    sent = request.POST["file"]
    return dict(shared.digest(sent.file), name=sent.filename, type=sent.type, note=request.POST["note"])


def digest(request):
    return shared.digest(request.body_file)


def stream(request):
    chunks = shared.Chunks(request.GET["gate"], int(request.GET["count"]))
    return Response(app_iter=chunks, content_type="text/plain", headerlist=[("X-Accel-Buffering", "no")])


def breaks(request):
    return Response(app_iter=shared.broken())


def old(request):
    return HTTPFound(request.route_url("index"))


def cookies(request):
    for number in (1, 2, 3):
        request.response.set_cookie("c%d" % number, "v %d" % number)
    return dict(request.cookies)


def count(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return Response(str(request.session["count"]))


def file(request):
    return FileResponse(shared.SAMPLE, request=request)


def fails(request):
    raise RuntimeError("broken view")


def forbidden(request):
    raise HTTPForbidden("not for you")


JSON = [user, json, form, upload, digest, cookies]
PLAIN = [stream, breaks, old, count, file, fails, forbidden]


def main(global_config, **settings):
    config = Configurator(settings=settings, session_factory=SignedCookieSessionFactory("for tests only"))
    config.add_route("index", "/")
    config.add_view(index, route_name="index")
    for view in JSON + PLAIN:
        config.add_route(view.__name__, "/%s/{name}" % view.__name__ if view is user else "/" + view.__name__)
        config.add_view(view, route_name=view.__name__, renderer="json" if view in JSON else None)
    config.add_static_view("static", shared.STATIC)
    return config.make_wsgi_app()


application = get_app(os.path.join(os.path.dirname(os.path.abspath(__file__)), "pyramidapp.ini"), "main")
