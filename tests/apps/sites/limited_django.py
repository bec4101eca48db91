"""Django with a pool of connections, and a transaction around each request."""
import os

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="for tests only", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    LOGGING={"version": 1, "disable_existing_loggers": False, "handlers": {"errors": {"class": "logging.StreamHandler"}},
             "root": {"handlers": ["errors"]}},
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres", "HOST": os.environ["PGHOST"],
        "ATOMIC_REQUESTS": True,
        "OPTIONS": {"application_name": "limited",
                    "pool": {"min_size": 1, "max_size": int(os.environ["CONNECTIONS"]), "timeout": 5}}}})
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402

import limited  # noqa: E402


def use_django(request):
    limited.limit(request.GET["time"])
    with connection.cursor() as cursor:
        limited.work(lambda: cursor.execute("SELECT pg_sleep(0.003)"))
    return HttpResponse("done")


@transaction.non_atomic_requests
def state(request):
    stats = connection.pool.get_stats()
    return JsonResponse({"locked": limited.locked(), "django": stats["pool_size"] - stats["pool_available"]})


urlpatterns = [path("django", use_django), path("state", state)]
application = get_wsgi_application()
