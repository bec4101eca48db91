"""What wsgi-fcgi does for the application that it serves, beside calling it."""

import warnings as _warnings

with _warnings.catch_warnings():
    # That of a free-threaded Python, whose GIL the server needs.
    _warnings.filterwarnings("ignore", message=".*global interpreter lock", category=RuntimeWarning)
    from wsgi_fcgi._server import (
        RequestTimeout, __version__, client_connected, on_worker_start, on_worker_stop, set_timeout, time_left, worker)

__all__ = [
    "RequestTimeout", "client_connected", "on_worker_start", "on_worker_stop", "set_timeout", "time_left", "worker"]
