"""Calls that do not end by themselves: asleep, in a loop, and in a function of C that holds the interpreter lock.

Beside bench_app.py, which imports nothing. deadline.php is the same in PHP, as far as that has these.
"""

import ctypes
import time

from bench_app import HELLO, answer, tell

libc = ctypes.PyDLL(None)  # unlike CDLL it keeps the lock
MUTEX_SIZE = 256  # bytes: more than a pthread_mutex_t has, all of them 0 in one that is new


def sleep(environ, start_response):
    while True:
        time.sleep(3600)


def loop(environ, start_response):
    while True:
        pass


def hold_lock(environ, start_response):
    """A deadlock, which no signal ends, as a sleep would be by one."""
    mutex = ctypes.create_string_buffer(MUTEX_SIZE)
    while True:
        libc.pthread_mutex_lock(mutex)


PATHS = {
    "/": lambda environ, start_response: answer(start_response, HELLO),
    "/python": tell,
    "/sleep": sleep,
    "/loop": loop,
    "/lock": hold_lock,
}


def application(environ, start_response):
    return PATHS[environ["PATH_INFO"]](environ, start_response)
