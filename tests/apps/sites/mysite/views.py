import json as jsons
import threading

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.views.decorators.csrf import csrf_exempt

import shared
from gateway import visit


def index(request):
    return HttpResponse("index")


def user(request, name):
    return JsonResponse({"name": name, "args": dict(request.GET.lists()), "url": request.build_absolute_uri()})


@csrf_exempt
def form(request):
    return JsonResponse(dict(request.POST.lists()))


def guarded(request):
    return HttpResponse("never without a token")


@csrf_exempt
def json(request):
    return JsonResponse({"got": jsons.loads(request.body)}, status=201)


@csrf_exempt
def upload(request):
    sent = request.FILES["file"]
    return JsonResponse(dict(shared.digest(sent), name=sent.name, type=sent.content_type, note=request.POST["note"]))


@csrf_exempt
def digest(request):
    return JsonResponse(shared.digest(request))


def stream(request):
    chunks = shared.Chunks(request.GET["gate"], int(request.GET["count"]))
    return StreamingHttpResponse(chunks, content_type="text/plain", headers={"X-Accel-Buffering": "no"})


def breaks(request):
    return StreamingHttpResponse(shared.broken(), content_type="text/plain")


def old(request):
    return redirect("/")


def cookies(request):
    response = JsonResponse(request.COOKIES)
    for number in (1, 2, 3):
        response.set_cookie("c%d" % number, "v %d" % number)
    return response


def count(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


def file(request):
    return FileResponse(open(shared.SAMPLE, "rb"))


def fails(request):
    raise RuntimeError("broken view")


@csrf_exempt
@transaction.atomic
def query(request):
    """Uses the database. Says which thread it was, and which process of PostgreSQL served it."""
    if request.method == "POST":
        User.objects.create(username=request.GET["name"])
        if "fail" in request.GET:
            raise RuntimeError("after the insert")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid() FROM pg_sleep(%s)", [float(request.GET.get("sleep", 0))])
        pid = cursor.fetchone()[0]
    if "gate" in request.GET:
        visit(request.GET["gate"])
    return JsonResponse({"backend": pid, "thread": threading.get_native_id(), "users": User.objects.count()})
