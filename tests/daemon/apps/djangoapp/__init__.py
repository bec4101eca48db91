"""A Django project in one module: settings, views, urls, and the WSGI application."""
import hashlib
import os

import django
from django.conf import settings

HERE = os.path.dirname(os.path.abspath(__file__))

settings.configure(
    SECRET_KEY="for tests only",
    DEBUG=False,
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
                "django.middleware.http.ConditionalGetMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"],
                           "CONN_MAX_AGE": None}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    LOGGING={"version": 1, "disable_existing_loggers": False,
             "handlers": {"errors": {"class": "logging.StreamHandler"}}, "root": {"handlers": ["errors"]}},
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.shortcuts import redirect  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from django.views.static import serve  # noqa: E402

from gateway import visit  # noqa: E402


def index(request):
    return HttpResponse("index")


def user(request, name):
    return JsonResponse({"name": name, "path": request.path, "args": dict(request.GET.lists()),
                         "uri": request.build_absolute_uri()})


@csrf_exempt
def form(request):
    return JsonResponse(dict(request.POST.lists()))


def guarded(request):
    return HttpResponse("never without a token")


@csrf_exempt
def json(request):
    import json
    return JsonResponse({"got": json.loads(request.body)}, status=201)


@csrf_exempt
def upload(request):
    sent = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in sent.chunks():
        digest.update(chunk)
    return JsonResponse({"name": sent.name, "type": sent.content_type, "length": sent.size, "sha": digest.hexdigest(),
                         "note": request.POST["note"]})


def stream(request):
    def chunks():
        yield "chunk 0\n"
        for number in (1, 2):
            visit(request.GET["gate"], "chunk %d" % number)
            yield "chunk %d\n" % number
    response = StreamingHttpResponse(chunks(), content_type="text/plain")
    response["X-Accel-Buffering"] = "no"
    return response


def old(request):
    return redirect("/")


def cookies(request):
    response = HttpResponse("cookies")
    for number in (1, 2, 3):
        response.set_cookie("c%d" % number, "v%d" % number)
    return response


def count(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


def file(request):
    return FileResponse(open(os.path.join(HERE, "__init__.py"), "rb"), content_type="text/x-python")


def fails(request):
    raise RuntimeError("broken view")


@csrf_exempt
def add(request, name):
    User.objects.create_user(name)
    return HttpResponse(str(User.objects.count()))


urlpatterns = [
    path("", index), path("user/<name>", user), path("form", form), path("json", json), path("upload", upload),
    path("stream", stream), path("old", old), path("cookies", cookies), path("count", count), path("file", file),
    path("fails", fails), path("guarded", guarded), path("add/<name>", add),
    path("static/<path:path>", serve, {"document_root": os.path.join(HERE, "static")}),
]
call_command("migrate", verbosity=0)
application = get_wsgi_application()
