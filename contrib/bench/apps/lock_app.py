"""What calls do with the interpreter lock: compute without it, with it, by turns; and quick ones for beside them.

Beside bench_app.py, which imports nothing, since hashlib and zlib are extensions.
"""

import hashlib
import os
import zlib

from bench_app import HELLO, answer, burn, tell

LOGIN_ROUNDS = 400_000
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "0"))  # that take 10 ms: `run` has found out, the same for all servers
BLOCK = b"x" * 65536
# Neither all the same nor noise.
TEXT = b"".join(hashlib.sha256(b"%d" % i).hexdigest().encode() for i in range(1_000_000 // 64))


def hashed(rounds):
    def application(environ, start_response):
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", rounds)
        return answer(start_response, HELLO)

    return application


def compress(environ, start_response):
    zlib.compress(TEXT)
    return answer(start_response, HELLO)


def mix(environ, start_response):
    for _ in range(10):
        hashlib.sha256(BLOCK).digest()
        burn(0.0005)
    return answer(start_response, HELLO)


def python(seconds):
    def application(environ, start_response):
        burn(seconds)
        return answer(start_response, HELLO)

    return application


PATHS = {
    "/": lambda environ, start_response: answer(start_response, HELLO),
    "/python": tell,
    "/login": hashed(LOGIN_ROUNDS),
    "/hash": hashed(ROUNDS),
    "/zlib": compress,
    "/mix": mix,
    "/python5": python(0.005),
    "/python50": python(0.05),
}


def application(environ, start_response):
    return PATHS[environ["PATH_INFO"]](environ, start_response)
