"""What each process must have of its own: connections to a database, and the files of counters."""
import os

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, multiprocess
from psycopg_pool import ConnectionPool
from wsgi_fcgi import on_worker_start, on_worker_stop

pool = ConnectionPool("host=%(HOST)s user=postgres application_name=%(NAME)s" % os.environ, min_size=2, open=False)
requests = Counter("site_requests", "Requests that were answered")
in_work = Gauge("site_in_work", "Processes that serve", multiprocess_mode="livesum")

on_worker_start(pool.open)
on_worker_stop(pool.close)


@on_worker_start
def say_alive():
    in_work.set(1)


@on_worker_stop
def say_dead():
    multiprocess.mark_process_dead(os.getpid())


def app(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        body = generate_latest(registry)
    else:
        requests.inc()
        with pool.connection() as connection:
            backend = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
        body = b"%d %d\n" % (os.getpid(), backend)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
