"""What Python does once the server has stopped: threads that are joined, atexit functions, objects that are still there."""
import atexit
import os
import signal
import threading
import time
import wsgi_fcgi

kept = []
stopping = threading.Event()


def last():
    """As long as a second signal is wanted, or until what a request has left can be looked at."""
    if os.environ.get("SIGNAL_AT_END"):
        os.kill(os.getpid(), signal.SIGTERM)
        print("signalled", flush=True)
        time.sleep(60)
    for thing in kept:
        try:
            print(type(thing).__name__, thing.read() if hasattr(thing, "read") else list(thing))
        except Exception as error:
            print(type(thing).__name__, type(error).__name__)
    print("atexit ran", threading.active_count())


def thread():
    stopping.wait()
    print("thread ends")


atexit.register(last)
threading.Thread(target=thread).start()
threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
wsgi_fcgi.on_worker_stop(stopping.set)


class File:
    def read(self, size=-1):
        return b""


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    kept.extend((environ["wsgi.input"], environ["wsgi.errors"], environ["wsgi.file_wrapper"](File())))
    return [b"kept"]
