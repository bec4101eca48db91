"""A form is checked by an expression that takes twice as long for each character more. It keeps the interpreter lock."""
import re
from urllib.parse import parse_qs

from gateway import knock

WORDS = re.compile(r"(\w+\s?)+;")


def check(query):
    knock(query["gate"][0], "check")
    return WORDS.fullmatch(query["text"][0])  # at fault


def application(environ, start_response):
    if environ["PATH_INFO"] == "/check":
        check(parse_qs(environ["QUERY_STRING"]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"fine\n"]
