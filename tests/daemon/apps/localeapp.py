"""Follows the locale of the environment, as applications do that speak to people; tells it, and what has come."""
import json
import locale

locale.setlocale(locale.LC_ALL, "")


def application(environ, start_response):
    body = environ["wsgi.input"].read().decode("latin-1")
    told = {name: value for name, value in environ.items() if isinstance(value, str)}
    told.update(body=body, locale=locale.setlocale(locale.LC_ALL), point=locale.localeconv()["decimal_point"],
                same="title".upper() == "TITLE")
    answer = json.dumps(told).encode()
    start_response("200 OK", [("CONTENT-TYPE", "application/json"), ("CONTENT-LENGTH", str(len(answer)))])
    return [answer]
