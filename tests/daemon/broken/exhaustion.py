"""Every thread waits for a service that takes connections and says nothing."""
import socket
from urllib.parse import parse_qs


def rates(service):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(service)
        sock.sendall(b"rates\n")
        return sock.recv(4096)  # at fault


def application(environ, start_response):
    answer = b"fine\n"
    if environ["PATH_INFO"] == "/rates":
        answer = rates(parse_qs(environ["QUERY_STRING"])["gate"][0])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer]
