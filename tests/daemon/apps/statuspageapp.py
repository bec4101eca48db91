"""Answers like a server that has a status page: with the document in the file DOCUMENT, at /status."""
import os

STATUS = {"/status": "200 OK", "/forbidden": "403 Forbidden", "/broken": "500 Internal Server Error",
          "/busy": "503 Service Unavailable"}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    asked = environ["QUERY_STRING"] == "format=json" and environ["HTTP_ACCEPT"] == "application/json"
    status = STATUS.get(path, "404 Not Found") if asked else "400 Bad Request"
    with open(os.environ["DOCUMENT"], "rb") as file:
        body = file.read()
    start_response(status, [("Content-Type", "application/json")])
    return [body[:1000], body[1000:]]
