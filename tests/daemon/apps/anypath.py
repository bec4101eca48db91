"""Answers with its environ, whatever the path is, and spoils it afterwards: it is this request's alone."""
import wsgiapp


def application(environ, start_response):
    result = wsgiapp.environ(environ, start_response, {})
    for key in list(environ):
        environ[key] = "spoiled"
    environ["ADDED"] = "spoiled"
    return result
