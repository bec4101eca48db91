"""The loads `lock-*`: what calls that compute, with the interpreter lock or without it, do to others."""

import math
import socket
import subprocess
import time

from . import proc
from .generator import LoadFailed, keeps, result

BEHIND_SECONDS = 0.004  # a quick request comes so much later than the login
PAUSE_SECONDS = 0.005  # and the next login so much after both answers
UNCOUNTED = 2  # pairs: a server may have to learn
PAIRS_MIN = 5
COMPANY_MARGIN = 0.2  # seconds for which the others go on when the quick ones have ended
ASK_SECONDS = 20

CALIBRATE = """\
import hashlib, time
def seconds(rounds):
    begin = time.thread_time()
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", rounds)
    return time.thread_time() - begin
least = min(seconds(10000) for _ in range(20))
print(round(10000 * 0.010 / least))
"""


def calibrate(python):
    """Rounds of pbkdf2 that take 10 ms of processor time in this Python; the least time, as the machine may be busy."""
    done = subprocess.run([python, "-c", CALIBRATE], capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout)


def quantile(values, part):
    """The least value at or below which `part` (0 to 1) of all lie, as fcgi-load has it."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(len(ordered) * part)) - 1]


class Client:
    """A kept HTTP connection. `ask` sends, `take` waits for the answer."""

    def __init__(self, place, uri):
        if place.socket:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(ASK_SECONDS)
            self.sock.connect(place.socket)
        else:
            self.sock = socket.create_connection(("127.0.0.1", place.port), ASK_SECONDS)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = f"GET {uri} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    def ask(self):
        self.sock.sendall(self.request)

    def take(self):
        """Status of the answer, which has a Content-Length."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.receive()
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        fields = dict(line.lower().split(b":", 1) for line in lines[1:])
        left = int(fields[b"content-length"]) - len(body)
        while left > 0:
            left -= len(self.receive())
        return int(lines[0].split()[1])

    def receive(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionResetError("the connection was closed")
        return data

    def close(self):
        self.sock.close()


def ask_pairs(login, quick, seconds):
    """Times of quick requests in seconds, each sent a little behind a login; and how many answers were no 200."""
    times, refused = [], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(times) < UNCOUNTED + PAIRS_MIN:
        login.ask()
        time.sleep(BEHIND_SECONDS)
        begin = time.perf_counter()
        quick.ask()
        refused += quick.take() != 200
        times.append(time.perf_counter() - begin)
        refused += login.take() != 200
        time.sleep(PAUSE_SECONDS)
    return times[UNCOUNTED:], refused


def measure_behind(generator, instance, load):
    """A sample of quick requests, each of which came 4 ms behind a login."""
    seconds = sum(generator.times(load))
    clients = []
    cpu, begin = proc.cpu_seconds(instance.pids), time.monotonic()
    try:
        clients += [Client(instance.asked, load.uri), Client(instance.asked, "/")]
        times, refused = ask_pairs(*clients, seconds)
    except (OSError, ValueError, KeyError) as error:
        instance.check()
        raise LoadFailed(f"a pair of requests was not answered: {error!r}") from error
    finally:
        for client in clients:
            client.close()
    pids = proc.tree(instance.pid)
    quantiles = {f"p{name}_us": quantile(times, part) * 1e6
                 for name, part in (("50", 0.5), ("90", 0.9), ("99", 0.99), ("999", 0.999))}  # fmt: skip
    usage = proc.usage(pids)
    return {
        "requests": len(times), "requests_all": len(times) + UNCOUNTED, "errors": 0, "not200": refused, "bad_length": 0,
        "rps": len(times) / (time.monotonic() - begin), **quantiles, "max_us": max(times) * 1e6,
        "cpu_us": (proc.cpu_seconds(pids) - cpu) / (len(times) + UNCOUNTED) * 1e6, "nginx_cpu_us": None,
        "threads": usage["threads"], "processes": len(pids), "loaded": {"rss": usage["rss"]},
    }  # fmt: skip


def measure_company(generator, instance, load):
    """A sample of quick requests beside other clients, whose rate is counted in the same seconds, about."""
    warm_up, seconds = generator.times(load)
    uri, clients = load.company
    keep = ["--keep"] if keeps(instance) else []
    others = [*generator.target(instance.asked), "--uri", uri, "--clients", str(clients), "--json", *keep,
              "--warm-up", f"{warm_up:g}", "--duration", f"{seconds + COMPANY_MARGIN:g}", "--max-time", "60"]  # fmt: skip
    with subprocess.Popen(others, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            sample = generator.run(instance, generator.command(instance, load), warm_up + seconds, None)
            output, errors = process.communicate(timeout=90)
        finally:
            process.kill()
    company = result(process.returncode, output, errors)
    for key in ("errors", "not200", "bad_length"):
        sample[key] += company[key]
    sample["company_rps"] = company["rps"]
    return sample
